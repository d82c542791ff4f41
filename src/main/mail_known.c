#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "base/table.h"
#include "main/mail_role.h"

// A recipient that auth found; the texts lie behind it.
struct known {
    uint64_t generation, account;
    uint64_t since_ms;
    struct span address, user, detail;
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
mail_users_changed(struct mail_role *r)
{
    atomic_fetch_add(&r->users_generation, 1);
    mail_identities_changed(r);
}

static struct span
put_text(char **end, struct span s)
{
    if (s.n > 0)
        memcpy(*end, s.p, s.n);
    struct span copy = span_of(*end, s.n);
    *end += s.n;
    return copy;
}

static void
add(struct home *h, uint64_t generation, const struct known *found)
{
    size_t n = found->address.n + found->user.n + found->detail.n;
    struct known *k = calloc(1, sizeof *k + n), *old;
    must(k != NULL);
    char *end = k->text;
    *k = (struct known){
        .generation = generation, .account = found->account, .since_ms = clock_mono_ms()};
    k->address = put_text(&end, found->address);
    k->user = put_text(&end, found->user);
    k->detail = put_text(&end, found->detail);
    HASH_FIND(hh, h->known, k->address.p, k->address.n, old);
    if (old)
        forget(h, old);
    if (HASH_COUNT(h->known) >= LIMIT_recipients_known)
        mail_known_forget(h);
    HASH_ADD_KEYPTR(hh, h->known, k->address.p, k->address.n, k);
}

static struct known *
find(struct home *h, uint64_t generation, struct span address)
{
    struct known *k;
    HASH_FIND(hh, h->known, address.p, address.n, k);
    if (k && (k->generation != generation ||
              clock_mono_ms() - k->since_ms > LIMIT_recipient_known_ms)) {
        forget(h, k);
        return NULL;
    }
    return k;
}

// The generation is read before auth is asked: an answer that a change overtakes is not kept.
enum result
mail_known_user(struct home *h, struct span address, uint64_t *account_out,
                struct buf *user_out, struct buf *detail_out, struct fault *f)
{
    uint64_t generation = atomic_load(&h->role->users_generation);
    const struct known *k = find(h, generation, address);
    if (k) {
        *account_out = k->account;
        buf_put(user_out, k->user);
        buf_put(detail_out, k->detail);
        return R_OK;
    }
    enum result r = mail_ask_user(h, address, account_out, user_out, detail_out, f);
    if (r == R_OK)
        add(h, generation,
            &(struct known){.account = *account_out,
                            .address = address,
                            .user = buf_span(user_out),
                            .detail = buf_span(detail_out)});
    return r;
}
