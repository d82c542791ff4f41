// auth test
#include "base/limits.h"
#include "base/pack.h"
#include "ctl/quota_words.h"
#include "ctl/verbs.h"

struct verdict {
    bool granted;
    uint8_t kind;
    struct span why, user, rows;
    uint64_t account;
};

// What auth says of it (main/auth_trial.c).
static enum result
read_verdict(struct span text, struct verdict *out, struct fault *f)
{
    struct unpack u = unpack_of(text);
    out->granted = unpack_u8(&u) != 0;
    out->kind = unpack_u8(&u);
    out->why = unpack_span(&u);
    out->user = unpack_span(&u);
    out->account = unpack_u64(&u);
    out->rows = u.rest;
    return u.bad || out->kind >= FAULT_COUNT
               ? fault_set(f, FAULT_SERVERBUG, "an answer of auth is malformed")
               : R_OK;
}

static enum result
say(struct verb_call *c, struct span text, struct fault *f)
{
    struct verdict v;
    if (read_verdict(text, &v, f) != R_OK || verb_rows(c, v.rows, f) != R_OK)
        return R_FAIL;
    return v.granted ? quota_words_show(c, v.account, v.user, f)
                     : fault_set(f, v.kind, "%.*s", SPAN_ARG(v.why));
}

static enum result
judge(struct verb_call *c, struct span password, struct buf *text, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct span args[] = {verb_arg(c, 0), verb_arg(c, 1), verb_arg(c, 2), password};
    return h->users(h->arg, verb_words(c), args, 4, text, f);
}

enum result
verb_auth_test(struct verb_call *c, struct fault *f)
{
    struct buf password, text;
    buf_init(&password, LIMIT_password);
    buf_init(&text, SIZE_MAX);
    enum result r = verb_in_all(c, &password, f);
    if (r == R_OK)
        r = judge(c, buf_span(&password), &text, f);
    if (r == R_OK)
        r = say(c, buf_span(&text), f);
    buf_wipe(&password);
    buf_done(&text);
    return r;
}
