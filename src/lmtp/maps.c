#include "lmtp/maps.h"

#include "base/limits.h"
#include "base/pack.h"
#include "wire/netstring.h"

// What a table has for the key: packed spans. R_NONE: nothing.
typedef enum result find_fn(const struct lmtp_host *host, struct span key, struct buf *out,
                            struct fault *f);

static enum result
find_alias(const struct lmtp_host *host, struct span key, struct buf *out, struct fault *f)
{
    // what "@x.org" catches was found by the whole address
    return key.p[0] == '@' ? R_NONE : host->aliases(host->arg, key, out, f);
}

static enum result
find_senders(const struct lmtp_host *host, struct span key, struct buf *out,
             struct fault *f)
{
    return key.p[0] == '@' ? R_NONE : host->senders(host->arg, key, out, f);
}

static enum result
find_domain(const struct lmtp_host *host, struct span key, struct buf *out, struct fault *f)
{
    enum result r = host->is_local(host->arg, key, f);
    if (r == R_OK)
        pack_span(out, key);
    return r;
}

static enum result
find_recipient(const struct lmtp_host *host, struct span key, struct buf *out,
               struct fault *f)
{
    struct arena *a = arena_new_small();
    struct lmtp_targets targets;
    enum result r = host->resolve(host->arg, key, false, a, &targets, f);
    if (r == R_OK)
        pack_span(out, key);
    arena_free(&a);
    return r;
}

static const struct {
    const char *name;
    find_fn *find;
} tables[] = {
    {"alias", find_alias},
    {"domain", find_domain},
    {"recipient", find_recipient},
    {"sender_login", find_senders},
};

static void
put_found(struct buf *reply, struct span packed)
{
    struct unpack u = unpack_of(packed);
    buf_put_str(reply, "OK ");
    for (bool first = true; u.rest.n > 0 && !u.bad; first = false) {
        buf_put_str(reply, first ? "" : ",");
        buf_put(reply, unpack_span(&u));
    }
    if (reply->over) {
        buf_reset(reply);
        buf_put_str(reply, "TEMP too many addresses for one answer");
    }
}

static void
put_answer(struct buf *reply, enum result r, struct span packed, const struct fault *f)
{
    if (r == R_OK)
        put_found(reply, packed);
    else if (r == R_NONE)
        buf_put_str(reply, "NOTFOUND ");
    else
        buf_printf(reply, "TEMP %s", f->why);
}

static void
look_up(const struct lmtp_host *host, struct span table, struct span key, struct buf *reply)
{
    struct buf packed;
    struct fault f;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        if (!span_eq(table, span_str(tables[i].name)))
            continue;
        buf_init(&packed, SIZE_MAX);
        enum result r = key.n > 0 ? tables[i].find(host, key, &packed, &f) : R_NONE;
        put_answer(reply, r, buf_span(&packed), &f);
        buf_done(&packed);
        return;
    }
    buf_printf(reply, "PERM there is no table '%.*s'", SPAN_ARG(span_slice(table, 0, 40)));
}

static enum result
answer(const struct lmtp_host *host, struct conn *conn, struct span text, struct fault *f)
{
    struct span body;
    size_t used;
    struct buf reply, out;
    if (netstring_parse(text, LIMIT_map_request, &body, &used) != NETSTRING_WHOLE)
        return fault_set(f, FAULT_BAD, "no netstring");
    size_t space = span_find_char(body, ' ');
    if (space == body.n || memchr(body.p, '\0', body.n))
        return fault_set(f, FAULT_BAD, "not a table's name and a key");
    buf_init(&reply, LIMIT_map_reply);
    buf_init(&out, SIZE_MAX);
    look_up(host, span_slice(body, 0, space), span_skip(body, space + 1), &reply);
    netstring_put(&out, buf_span(&reply));
    conn_write(conn, buf_span(&out));
    buf_done(&reply);
    buf_done(&out);
    return R_OK;
}

static long
end(struct span input)
{
    struct span body;
    size_t used;
    switch (netstring_parse(input, LIMIT_map_request, &body, &used)) {
    case NETSTRING_WHOLE:
        return (long)used;
    case NETSTRING_MORE:
        return 0;
    default:
        return QUESTION_BAD;
    }
}

const struct question_ops maps_ops = {"maps", LIMIT_map_request + 16, end, answer};
