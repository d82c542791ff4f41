// Parcels and frames of the admin socket: a front of one is never taken for a whole one, what is accepted prints again
// as it was, and nothing lies outside what was given.
#include "ctl/account_file.h"
#include "ctl/frame.h"
#include "ctl/parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
payload(const struct parcel *p, struct arena *a)
{
    struct parcel_mailbox box, box_back;
    struct parcel_message m, m_back;
    struct parcel back;
    struct fault f;
    struct buf b, again;
    buf_init(&b, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    if (p->kind == PARCEL_MAILBOX && parcel_get_mailbox(p->payload, &box) == R_OK) {
        parcel_put_mailbox(&b, PARCEL_MAILBOX, &box);
        must(parcel_get(buf_span(&b), &back, &f) == R_OK && back.size == b.n);
        must(parcel_get_mailbox(back.payload, &box_back) == R_OK);
        must(span_eq(box.name, box_back.name) && box.uidnext == box_back.uidnext);
    }
    if (p->kind == PARCEL_MESSAGE && parcel_get_message(p->payload, a, &m) == R_OK) {
        parcel_put_message(&b, PARCEL_MESSAGE, &m);
        must(parcel_get(buf_span(&b), &back, &f) == R_OK && back.size == b.n);
        must(parcel_get_message(back.payload, a, &m_back) == R_OK);
        must(m_back.keyword_count == m.keyword_count && m_back.date == m.date);
        parcel_put_message(&again, PARCEL_MESSAGE, &m_back);
        must(span_eq(buf_span(&b), buf_span(&again)));
    }
    buf_done(&b);
    buf_done(&again);
}

// What is accepted prints in no more octets, and these print the same.
#define TRY(type, get, put)                                                                \
    do {                                                                                   \
        type v;                                                                            \
        struct parcel one, two;                                                            \
        struct fault f;                                                                    \
        buf_reset(&b);                                                                     \
        buf_reset(&again);                                                                 \
        if (get(in, &v) != R_OK)                                                           \
            break;                                                                         \
        put(&b, &v);                                                                       \
        must(parcel_get(buf_span(&b), &one, &f) == R_OK && one.payload.n <= in.n);         \
        must(get(one.payload, &v) == R_OK);                                                \
        put(&again, &v);                                                                   \
        must(span_eq(buf_span(&b), buf_span(&again)));                                     \
        must(parcel_get(buf_span(&again), &two, &f) == R_OK);                              \
    } while (0)

struct use {
    struct span use, name;
};

static enum result
get_use(struct span in, struct use *out)
{
    return parcel_get_use(in, &out->use, &out->name);
}

static void
put_use(struct buf *b, const struct use *u)
{
    parcel_put_use(b, u->use, u->name);
}

static void
put_state(struct buf *b, const struct parcel_state *s)
{
    parcel_put_state(b, PARCEL_STATE, s);
}

static struct arena *wants;

static enum result
get_want(struct span in, struct seqset *out)
{
    return parcel_get_want(in, wants, out);
}

// The same octets as a payload of each kind.
static void
payloads(struct span in, struct arena *a)
{
    struct buf b, again;
    wants = a;
    buf_init(&b, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    TRY(struct parcel_origin, parcel_get_origin, parcel_put_origin);
    TRY(struct use, get_use, put_use);
    TRY(struct parcel_state, parcel_get_state, put_state);
    TRY(struct fault, parcel_get_broken, parcel_put_broken);
    TRY(struct parcel_fact, parcel_get_fact, parcel_put_fact);
    TRY(struct seqset, get_want, parcel_put_want);
    buf_done(&b);
    buf_done(&again);
}

static void
parcels(struct span in, struct arena *a)
{
    struct parcel p, cut;
    struct fault f;
    while (parcel_get(in, &p, &f) == R_OK) {
        struct buf b;
        must(p.size <= in.n && p.payload.n + PARCEL_HEAD == p.size);
        must(parcel_get(span_slice(in, 0, p.size - 1), &cut, &f) == R_NONE);
        must(parcel_get(span_slice(in, 0, PARCEL_HEAD - 1), &cut, &f) == R_NONE);
        buf_init(&b, SIZE_MAX);
        parcel_put(&b, p.kind, p.payload);
        must(span_eq(buf_span(&b), span_slice(in, 0, p.size)));
        buf_done(&b);
        payload(&p, a);
        in = span_skip(in, p.size);
    }
}

// What a file says is written again in no more octets than it had.
static void
account_file(struct span in)
{
    struct parcel_fact fact;
    struct fault f;
    struct buf again;
    struct span rest = in;
    buf_init(&again, SIZE_MAX);
    account_file_head(&again);
    if (account_file_open(&rest, &f) == R_OK) {
        while (account_file_next(&rest, &fact, &f) == R_OK)
            account_file_put(&again, &fact);
        must(again.n <= in.n);
    }
    buf_done(&again);
}

static void
frames(struct span in)
{
    struct frame p, cut;
    while (frame_get(in, &p) == R_OK) {
        struct buf b;
        must(p.size <= in.n && p.payload.n + FRAME_HEAD == p.size);
        must(frame_get(span_slice(in, 0, p.size - 1), &cut) == R_NONE);
        buf_init(&b, SIZE_MAX);
        frame_put(&b, p.kind, p.payload);
        must(span_eq(buf_span(&b), span_slice(in, 0, p.size)));
        buf_done(&b);
        in = span_skip(in, p.size);
    }
}

static void
status(struct span in)
{
    struct fault f = {0}, back = {0};
    bool failed;
    struct buf b;
    if (frame_get_status(in, &failed, &f) != R_OK)
        return;
    buf_init(&b, SIZE_MAX);
    frame_put_status(&b, failed ? R_FAIL : R_OK, &f);
    must(frame_get_status(buf_span(&b), &failed, &back) == R_OK);
    must(!failed || (back.kind == f.kind &&
                     (!f.why[0] || span_eq(span_str(back.why), span_str(f.why)))));
    buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    parcels(span_of(data, size), a);
    payloads(span_of(data, size), a);
    frames(span_of(data, size));
    account_file(span_of(data, size));
    status(span_of(data, size));
    arena_free(&a);
    return 0;
}
