#include "ctl/uidlist.h"
#include "base/limits.h"
#include "wire/mutf7.h"
#include "base/utf8.h"

// ---- file names ----

struct span
maildir_base(struct span file)
{
    return span_slice(file, 0, span_find_char(file, ':'));
}

struct span
maildir_letters(struct span file)
{
    size_t at = span_find(file, SPAN(":2,"));
    return span_slice(span_skip(file, at + 3), 0,
                      span_find_char(span_skip(file, at + 3), ','));
}

enum result
maildir_wire_size(struct span base, uint64_t *size_out)
{
    size_t at = span_find(base, SPAN(",W="));
    struct span digits = span_skip(base, at + 3);
    if (at == base.n)
        return R_NONE;
    return span_to_u64(span_slice(digits, 0, span_find_char(digits, ',')), size_out) == R_OK
               ? R_OK
               : R_NONE;
}

// ---- dovecot-uidlist ----

static int
by_base(const void *a, const void *b)
{
    const struct uidlist_entry *x = a, *y = b;
    return span_cmp(x->base, y->base);
}

const struct uidlist_entry *
uidlist_find(const struct uidlist *l, struct span base)
{
    struct uidlist_entry key = {.base = base};
    if (l->count == 0)
        return NULL;
    return bsearch(&key, l->entries, l->count, sizeof *l->entries, by_base);
}

// "3 V1234 N10 Gguid", or "1 1234 10".
static enum result
read_header(struct span line, struct uidlist *l, int *version_out)
{
    struct span word, rest = line;
    if (span_next_field(&rest, ' ', &word) != R_OK)
        return R_FAIL;
    *version_out = span_eq(word, SPAN("3")) ? 3 : span_eq(word, SPAN("1")) ? 1 : 0;
    for (int i = 0; span_next_field(&rest, ' ', &word) == R_OK; i++) {
        char key = word.n > 0 ? word.p[0] : '\0';
        struct span value = *version_out == 3 ? span_skip(word, 1) : word;
        uint32_t *to = NULL;
        if (*version_out == 3)
            to = key == 'V' ? &l->uidvalidity : key == 'N' ? &l->uidnext : NULL;
        else
            to = i == 0 ? &l->uidvalidity : &l->uidnext;
        if (to != NULL && span_to_u32(value, to) != R_OK)
            return R_FAIL;
    }
    return *version_out != 0 && l->uidvalidity > 0 ? R_OK : R_FAIL;
}

static void
read_zone(struct span value, struct uidlist_entry *e)
{
    bool west = value.n > 0 && value.p[0] == '-';
    uint32_t minutes;
    if (span_to_u32(span_skip(value, west), &minutes) != R_OK || minutes > 24 * 60)
        return;
    e->has_zone = true;
    e->zone_min = (int16_t)(west ? -(int)minutes : (int)minutes);
}

// "uid [Kvalue ...] :name", in version 1 "uid name".
static enum result
read_entry(struct span line, int version, struct uidlist_entry *e)
{
    struct span word, rest = line;
    if (span_next_field(&rest, ' ', &word) != R_OK || span_to_u32(word, &e->uid) != R_OK ||
        e->uid == 0)
        return R_FAIL;
    if (version == 1) {
        e->base = maildir_base(rest);
        return e->base.n > 0 ? R_OK : R_FAIL;
    }
    while (rest.n > 0 && rest.p[0] != ':') {
        if (span_next_field(&rest, ' ', &word) != R_OK)
            return R_FAIL;
        if (word.n > 0 && word.p[0] == 'Z')
            read_zone(span_skip(word, 1), e);
        if (word.n > 0 && word.p[0] == 'P')
            e->uidl = span_skip(word, 1);
        if (word.n > 0 && word.p[0] == 'G')
            e->guid = span_skip(word, 1);
    }
    e->base = maildir_base(span_skip(rest, 1));
    return e->base.n > 0 ? R_OK : R_FAIL;
}

static size_t
count_lines(struct span text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return n;
}

enum result
uidlist_parse(struct span text, struct arena *a, struct uidlist *out, struct fault *f)
{
    struct uidlist l = {0};
    struct span line, rest = text;
    int version = 0;
    if (span_next_field(&rest, '\n', &line) != R_OK ||
        read_header(line, &l, &version) != R_OK)
        return fault_set(f, FAULT_BAD, "dovecot-uidlist: the header is not understood");
    l.entries = arena_array(a, count_lines(text), sizeof *l.entries);
    while (span_next_field(&rest, '\n', &line) == R_OK) {
        if (line.n == 0)
            continue;
        struct uidlist_entry e = {0};
        if (read_entry(line, version, &e) == R_OK)
            l.entries[l.count++] = e;
        else
            l.bad_lines++;
    }
    if (l.count > 0)
        qsort(l.entries, l.count, sizeof *l.entries, by_base);
    *out = l;
    return R_OK;
}

// ---- dovecot-keywords ----

void
keyword_file_parse(struct span text, struct arena *a, struct span names[MAILDIR_LETTERS])
{
    struct span line, rest = text, number;
    uint32_t i;
    while (span_next_field(&rest, '\n', &line) == R_OK)
        if (span_next_field(&line, ' ', &number) == R_OK && line.n > 0 &&
            line.n <= LIMIT_keyword && span_to_u32(number, &i) == R_OK &&
            i < MAILDIR_LETTERS)
            names[i] = arena_dup(a, line);
}

// ---- subscriptions ----

// Version 2 escapes the tab, its separator of levels, by octet 1.
static void
put_escaped(struct span line, char separator, struct buf *name)
{
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        if (c == '\001' && i + 1 < line.n)
            c = line.p[++i] == 't' ? '\t' : line.p[i];
        else if (c == '\t')
            c = separator;
        buf_put_char(name, c);
    }
}

enum result
subscriptions_next(struct span *rest, char separator, int *version, struct buf *name)
{
    struct span line;
    while (span_next_field(rest, '\n', &line) == R_OK) {
        if (*version == 0) {
            *version = span_eq(line, SPAN("V\t2")) ? 2 : 1;
            if (*version == 2)
                continue;
        }
        if (line.n == 0 || line.n > LIMIT_mailbox_name * 4)
            continue;
        buf_reset(name);
        if (*version == 2)
            put_escaped(line, separator, name);
        else
            buf_put(name, line);
        return R_OK;
    }
    return R_NONE;
}

// ---- names ----

static enum result
decode_level(struct span level, struct buf *out)
{
    struct fault f;
    struct span dot = SPAN("&AC4-");
    size_t before = out->n, at = span_find(level, dot);
    if (at < level.n) {
        struct span head = span_slice(level, 0, at), tail = span_skip(level, at + dot.n);
        if (head.n > 0 && decode_level(head, out) != R_OK)
            return R_FAIL;
        buf_put_char(out, '.');
        return tail.n > 0 ? decode_level(tail, out) : R_OK;
    }
    if (mutf7_to_utf8(level, out, &f) == R_OK)
        return R_OK;
    out->n = before;
    if (!utf8_valid(level))
        return R_FAIL;
    buf_put(out, level);
    return R_OK;
}

enum result
storage_name_decode(struct span stored, char separator, struct buf *out, struct fault *f)
{
    struct span rest = stored, level;
    bool first = true;
    if (stored.n > LIMIT_mailbox_name * 4)
        return fault_set(f, FAULT_BAD, "the name is too long");
    while (span_next_field(&rest, separator, &level) == R_OK) {
        if (!first)
            buf_put_char(out, '/');
        first = false;
        if (decode_level(level, out) != R_OK)
            return fault_set(f, FAULT_BAD, "the name is neither modified UTF-7 nor UTF-8");
    }
    return out->over ? fault_set(f, FAULT_BAD, "the name is too long") : R_OK;
}

void
storage_name_encode(struct span name, char separator, struct buf *out)
{
    struct span rest = name, level, piece;
    bool first = true;
    while (span_next_field(&rest, '/', &level) == R_OK) {
        if (!first)
            buf_put_char(out, separator);
        first = false;
        for (bool more = false; span_next_field(&level, '.', &piece) == R_OK; more = true) {
            if (more)
                buf_put_str(out, "&AC4-");
            mutf7_from_utf8(piece, out);
        }
    }
}
