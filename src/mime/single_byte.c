#include "mime/single_byte.h"

#include <pthread.h>
#include <unicode/ucnv.h>

#include "mime/utf8.h"

// FORM: octets of a character in UTF-8. KNOWN_MAX: more charsets than ICU has.
enum { OCTETS = 256, FORM = 4, KNOWN_MAX = 512, AT_ONCE = 64 };

struct mime_single_byte {
    char forms[OCTETS][FORM];
    uint8_t sizes[OCTETS];
    bool ascii;  // the lower half is ASCII
};

// What was asked for so far; names are ICU's own, the same each time.
static struct {
    pthread_mutex_t lock;
    const char *names[KNOWN_MAX];
    struct mime_single_byte *tables[KNOWN_MAX];  // NULL: not such a charset
    size_t n;
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

// One octet by ICU. False: it is no character, or several, or the octet behind it matters.
static bool
make_form(struct mime_single_byte *t, unsigned octet, UConverter *from, UConverter *to)
{
    UChar pivot[8], *pivot_from = pivot, *pivot_to = pivot;
    const char in = (char)octet, *p = &in;
    char form[FORM], *end = form;
    UErrorCode error = U_ZERO_ERROR;

    ucnv_convertEx(to, from, &end, form + FORM, &p, p + 1, pivot, &pivot_from, &pivot_to,
                   pivot + 8, true, false, &error);
    if (U_FAILURE(error) || end == form)
        return false;
    t->sizes[octet] = (uint8_t)(end - form);
    memcpy(t->forms[octet], form, t->sizes[octet]);
    return true;
}

static bool
make_forms(struct mime_single_byte *t, UConverter *from, UConverter *to)
{
    UConverterType type = ucnv_getType(from);

    if (type != UCNV_SBCS && type != UCNV_LATIN_1 && type != UCNV_US_ASCII)
        return false;
    t->ascii = true;
    for (unsigned octet = 0; octet < OCTETS; octet++) {
        if (!make_form(t, octet, from, to))
            return false;
        t->ascii &= octet >= 0x80 ||
                    (t->sizes[octet] == 1 && (unsigned char)t->forms[octet][0] == octet);
    }
    return true;
}

static struct mime_single_byte *
make(const char *name)
{
    UErrorCode error = U_ZERO_ERROR;
    UConverter *from = ucnv_open(name, &error), *to = ucnv_open("UTF-8", &error);
    struct mime_single_byte *t = calloc(1, sizeof *t);

    must(t != NULL);
    if (U_FAILURE(error) || !make_forms(t, from, to)) {
        free(t);
        t = NULL;
    }
    ucnv_close(from);
    ucnv_close(to);
    return t;
}

static const struct mime_single_byte *
find_locked(const char *name)
{
    size_t i = 0;

    while (i < known.n && known.names[i] != name)
        i++;
    if (i == KNOWN_MAX)
        return NULL;
    if (i == known.n) {
        known.names[i] = name;
        known.tables[i] = make(name);
        known.n++;
    }
    return known.tables[i];
}

const struct mime_single_byte *
mime_single_byte_find(const char *name)
{
    UErrorCode error = U_ZERO_ERROR;
    const char *own = ucnv_getAlias(name, 0, &error);

    if (U_FAILURE(error) || !own)
        return NULL;
    pthread_mutex_lock(&known.lock);
    const struct mime_single_byte *t = find_locked(own);
    pthread_mutex_unlock(&known.lock);
    return t;
}

bool
mime_single_byte_is_ascii(const struct mime_single_byte *t)
{
    return t->ascii;
}

void
mime_single_byte_put(const struct mime_single_byte *t, struct span in, struct buf *out)
{
    while (in.n > 0) {
        size_t run = t->ascii ? mime_ascii_run(in) : 0;
        struct span piece = span_slice(in, run, run + AT_ONCE);
        char made[AT_ONCE * FORM], *to = made;
        buf_put(out, span_slice(in, 0, run));
        in = span_skip(in, run + piece.n);
        for (size_t i = 0; i < piece.n; i++) {
            unsigned char octet = (unsigned char)piece.p[i];
            memcpy(to, t->forms[octet], FORM);
            to += t->sizes[octet];
        }
        buf_put(out, span_of(made, (size_t)(to - made)));
    }
}
