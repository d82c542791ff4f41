#include "mail/index_inside.h"

#include "base/clock.h"
#include "base/pack.h"
#include "store/derived.h"

// When the text of an account was last searched. Where only those that are asked have an index, that says who has; the string that keeps it
// outlives the index: it has nothing of the mail.

enum { ASKED_VERSION = 1, ASKED_OCTETS = 9, DAY_S = 86400 };

static const char asked_name[] = "asked";

bool
mail_index_is_of_mail(struct span string)
{
    return !span_eq(string, span_str(asked_name));
}

static bool
is_within(int64_t s, int64_t now_s, int64_t most_s)
{
    return now_s - s < most_s;  // one that lies ahead was told by a clock that was wrong
}

static bool
is_recent(int64_t at_s)
{
    return at_s > 0 && is_within(at_s, clock_wall_s(), LIMIT_index_asked_s);
}

bool
mail_index_is_wanted(const struct mail_index *x)
{
    enum mail_index_mode mode = mail_index_mode(x->account->mail);
    return mode == MAIL_INDEX_ALL || (mode == MAIL_INDEX_ASKED && is_recent(x->asked.at_s));
}

bool
mail_index_wants_to_know(const struct mail_index *x)
{
    return mail_index_mode(x->account->mail) == MAIL_INDEX_ASKED && !x->asked.known;
}

// ---- the string ----

static enum result
read_string(struct derived *d, int64_t *at_s_out, struct fault *f)
{
    char octets[ASKED_OCTETS];
    if (derived_size(d) != ASKED_OCTETS)
        return fault_set(f, FAULT_CORRUPTION, "search index: when it was asked is unclear");
    if (derived_read(d, 0, octets, sizeof octets, f) != R_OK)
        return R_FAIL;
    struct unpack u = unpack_of(span_of(octets, sizeof octets));
    if (unpack_u8(&u) != ASKED_VERSION)
        return fault_set(f, FAULT_CORRUPTION, "search index: when it was asked is unclear");
    *at_s_out = (int64_t)unpack_u64(&u);
    return R_OK;
}

// R_OK and 0: never. R_NONE: it is damaged; since it was written once that counts as now.
static enum result
load(struct mail *m, uint64_t account, int64_t *at_s_out, struct fault *f)
{
    struct derived *d;
    *at_s_out = 0;
    enum result r = derived_open(mail_store(m), account, span_str(asked_name), &d, f);
    if (r == R_OK) {
        r = read_string(d, at_s_out, f);
        derived_close(&d);
    }
    if (r == R_FAIL && f->kind == FAULT_CORRUPTION) {
        *at_s_out = clock_wall_s();
        return R_NONE;
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
mail_index_asked_load(struct mail_index *x, struct fault *f)
{
    int64_t at_s;
    if (x->asked.known)
        return R_OK;
    enum result r = load(x->account->mail, x->account->id, &at_s, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (x->asked.known)  // somebody else was quicker
        return R_OK;
    x->asked.known = true;
    x->asked.unsaved = r == R_NONE;
    x->asked.at_s = at_s;
    return R_OK;
}

void
mail_index_asked_now(struct mail_index *x)
{
    int64_t now_s = clock_wall_s();
    if (x->asked.known && now_s >= x->asked.at_s && is_within(x->asked.at_s, now_s, DAY_S))
        return;
    x->asked.known = x->asked.unsaved = true;
    x->asked.at_s = now_s;
}

enum result
mail_index_asked_save(struct mail_index *x, struct fault *f)
{
    struct buf b;
    x->asked.unsaved = false;
    buf_init(&b, ASKED_OCTETS);
    pack_u8(&b, ASKED_VERSION);
    pack_u64(&b, (uint64_t)x->asked.at_s);
    enum result r = derived_put(mail_store(x->account->mail), x->account->id,
                                span_str(asked_name), buf_span(&b), f);
    buf_done(&b);
    x->asked.unsaved |= r != R_OK;
    return r;
}

enum result
mail_index_wanted_of(struct mail *m, uint64_t account, struct fault *f)
{
    int64_t at_s;
    if (mail_index_mode(m) != MAIL_INDEX_ASKED)
        return mail_index_mode(m) == MAIL_INDEX_ALL ? R_OK : R_NONE;
    if (load(m, account, &at_s, f) == R_FAIL)
        return R_FAIL;
    return is_recent(at_s) ? R_OK : R_NONE;
}
