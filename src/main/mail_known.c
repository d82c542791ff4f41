#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "base/table.h"
#include "main/mail_role.h"

// What auth said of an address; the texts lie behind it.
struct known {
    uint64_t generation;
    uint64_t since_ms;
    struct span key, answer;  // key: the question, the address
    UT_hash_handle hh;
    char text[];
};

static void
forget(struct home *h, struct known *k)
{
    HASH_DEL(h->known, k);
    free(k);
}

void
mail_known_forget(struct home *h)
{
    struct known *k, *next;
    HASH_ITER(hh, h->known, k, next)
    forget(h, k);
}

void
mail_names_changed(struct mail_role *r)
{
    atomic_fetch_add(&r->users_generation, 1);
}

void
mail_users_changed(struct mail_role *r)
{
    mail_names_changed(r);
    mail_identities_changed(r);
}

static void
add(struct home *h, uint64_t generation, struct span key, struct span answer)
{
    struct known *k = calloc(1, sizeof *k + key.n + answer.n), *old;
    must(k != NULL);
    k->generation = generation;
    k->since_ms = clock_mono_ms();
    memcpy(k->text, key.p, key.n);
    if (answer.n > 0)
        memcpy(k->text + key.n, answer.p, answer.n);
    k->key = span_of(k->text, key.n);
    k->answer = span_of(k->text + key.n, answer.n);
    HASH_FIND(hh, h->known, k->key.p, k->key.n, old);
    if (old)
        forget(h, old);
    if (HASH_COUNT(h->known) >= LIMIT_recipients_known)
        mail_known_forget(h);
    HASH_ADD_KEYPTR(hh, h->known, k->key.p, k->key.n, k);
}

static struct known *
find(struct home *h, uint64_t generation, struct span key)
{
    struct known *k;
    HASH_FIND(hh, h->known, key.p, key.n, k);
    if (k && (k->generation != generation ||
              clock_mono_ms() - k->since_ms > LIMIT_recipient_known_ms)) {
        forget(h, k);
        return NULL;
    }
    return k;
}

// The generation is read before auth is asked: an answer that a change overtakes is not kept. Long ones are not, either.
static enum result
ask(struct home *h, struct span key, struct buf *out, struct fault *f)
{
    uint64_t generation = atomic_load(&h->role->users_generation);
    const struct known *k = find(h, generation, key);
    if (k) {
        buf_put(out, k->answer);
        return R_OK;
    }
    enum result r =
        mail_ask_resolve(h, (enum resolve_question)key.p[0], span_skip(key, 1), out, f);
    if (r == R_OK && out->n <= LIMIT_recipient_known)
        add(h, generation, key, buf_span(out));
    return r;
}

enum result
mail_known_resolve(struct home *h, enum resolve_question question, struct span address,
                   struct buf *out, struct fault *f)
{
    struct buf key;
    buf_init(&key, SIZE_MAX);
    buf_put_char(&key, (char)question);
    buf_put(&key, address);
    enum result r = ask(h, buf_span(&key), out, f);
    buf_done(&key);
    return r;
}
