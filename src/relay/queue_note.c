#include "relay/queue_file.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/pack.h"

static const char magic[8] = {'P', 'H', 'q', 'u', 'e', 'u', 'e', '1'};

// The numbers are in the files: only ever add.
enum note_kind { NOTE_OUTCOME = 1, NOTE_SCHEDULE = 2, NOTE_HELD = 3, NOTE_TOLD = 4 };
enum { STATUS_MAX = 16, SENT_REPLY_MAX = 64, LENGTH = 4, HASH = 8 };

enum result
queue_name_id(struct span name, uint64_t *id_out)
{
    uint64_t id;
    char same[QUEUE_NAME];
    if (!hex_id(span_slice(name, 0, 16), &id) || id == 0)
        return R_NONE;
    queue_name(id, same);
    if (!span_eq(name, span_str(same)))  // capital letters, another end
        return R_NONE;
    *id_out = id;
    return R_OK;
}

// ---- the head ----

void
queue_head_put(struct buf *b, const struct queue_head *h)
{
    size_t at = b->n;
    buf_put(b, span_of(magic, sizeof magic));
    pack_u32(b, h->envelope_n);
    pack_u32(b, h->traits);
    pack_u64(b, h->text_n);
    pack_u64(b, h->wire_n);
    pack_u64(b, h->created_ms);
    pack_u64(b, h->envelope_hash);
    pack_u64(b, h->text_hash);
    pack_u64(b, 0);  // reserved
    pack_u64(b, hash64(span_skip(buf_span(b), at)));
}

enum result
queue_head_get(struct span octets, struct queue_head *out, struct fault *f)
{
    struct unpack u = unpack_of(octets);
    if (octets.n != QUEUE_HEAD || memcmp(octets.p, magic, sizeof magic - 1) != 0)
        return fault_set(f, FAULT_CORRUPTION, "no file of the queue");
    if (octets.p[sizeof magic - 1] != magic[sizeof magic - 1])
        return fault_set(f, FAULT_CORRUPTION, "a newer Posthorn made it");
    u.rest = span_skip(u.rest, sizeof magic);
    struct queue_head h = {.envelope_n = unpack_u32(&u)};
    h.traits = unpack_u32(&u);
    h.text_n = unpack_u64(&u);
    h.wire_n = unpack_u64(&u);
    h.created_ms = unpack_u64(&u);
    h.envelope_hash = unpack_u64(&u);
    h.text_hash = unpack_u64(&u);
    (void)unpack_u64(&u);
    if (unpack_u64(&u) != hash64(span_slice(octets, 0, QUEUE_HEAD - HASH)) ||
        h.envelope_n > LIMIT_relay_envelope || h.text_n > INT64_MAX / 4)
        return fault_set(f, FAULT_CORRUPTION, "the head is damaged");
    *out = h;
    return R_OK;
}

// ---- notes, put ----

void
queue_note_outcome(struct buf *b, const struct queue_mail *m, const size_t *which, size_t n)
{
    pack_u8(b, NOTE_OUTCOME);
    pack_var(b, n);
    for (size_t i = 0; i < n; i++) {
        const struct queue_recipient *r = &m->to[which[i]];
        pack_var(b, which[i]);
        pack_u8(b, r->state);
        pack_u16(b, r->code);
        pack_span(b, span_slice(r->status, 0, STATUS_MAX));
        pack_span(b, span_slice(r->reply, 0,
                                r->state == QUEUE_SENT ? SENT_REPLY_MAX
                                                       : LIMIT_relay_reply_kept));
    }
}

void
queue_note_schedule(struct buf *b, uint32_t tries, int64_t next_s)
{
    pack_u8(b, NOTE_SCHEDULE);
    pack_u32(b, tries);
    pack_u64(b, (uint64_t)next_s);
}

void
queue_note_held(struct buf *b, bool held)
{
    pack_u8(b, NOTE_HELD);
    pack_u8(b, held);
}

void
queue_note_told(struct buf *b, const size_t *which, size_t n, bool late)
{
    pack_u8(b, NOTE_TOLD);
    pack_u8(b, late);
    pack_var(b, n);
    for (size_t i = 0; i < n; i++)
        pack_var(b, which[i]);
}

// ---- notes, folded ----

static struct queue_recipient *
get_recipient(struct unpack *u, struct queue_mail *m)
{
    uint64_t i = unpack_var(u);
    u->bad |= i >= m->envelope.to_count;
    return u->bad ? NULL : &m->to[i];
}

static void
fold_outcome(struct unpack *u, struct arena *a, struct queue_mail *m)
{
    uint64_t n = unpack_var(u);
    u->bad |= n > m->envelope.to_count;
    for (uint64_t i = 0; i < n && !u->bad; i++) {
        struct queue_recipient *r = get_recipient(u, m);
        uint8_t state = unpack_u8(u);
        uint16_t code = unpack_u16(u);
        struct span status = unpack_span(u), reply = unpack_span(u);
        u->bad |= state >= QUEUE_STATES || status.n > STATUS_MAX ||
                  reply.n > LIMIT_relay_reply_kept;
        if (u->bad)
            return;
        r->state = state;
        r->code = code;
        r->status = arena_dup(a, status);
        r->reply = arena_dup(a, reply);
    }
}

static void
fold_told(struct unpack *u, struct queue_mail *m)
{
    bool late = unpack_u8(u) != 0;
    uint64_t n = unpack_var(u);
    u->bad |= n > m->envelope.to_count;
    for (uint64_t i = 0; i < n && !u->bad; i++) {
        struct queue_recipient *r = get_recipient(u, m);
        if (r != NULL && late)
            r->told_late = true;
        else if (r != NULL)
            r->told = true;
    }
}

static void
fold_one(struct span note, struct arena *a, struct queue_mail *m, struct unpack *u)
{
    *u = unpack_of(note);
    switch (unpack_u8(u)) {
    case NOTE_OUTCOME:
        fold_outcome(u, a, m);
        break;
    case NOTE_SCHEDULE:
        m->tries = unpack_u32(u);
        m->next_s = (int64_t)unpack_u64(u);
        break;
    case NOTE_HELD:
        m->held = unpack_u8(u) != 0;
        m->released |= !m->held;
        break;
    case NOTE_TOLD:
        fold_told(u, m);
        break;
    default:
        u->bad = true;
    }
}

enum result
queue_notes_fold(struct span notes, struct arena *a, struct queue_mail *m, size_t *used_out,
                 struct fault *f)
{
    size_t used = 0;
    for (;;) {
        struct unpack u = unpack_of(span_skip(notes, used)), inner;
        uint32_t n = unpack_u32(&u);
        struct span note = span_slice(u.rest, 0, n);
        u.rest = span_skip(u.rest, note.n);
        uint64_t hash = unpack_u64(&u);
        if (u.bad || note.n < n || n == 0 || hash != hash64(note))
            break;  // a crash cut it
        fold_one(note, a, m, &inner);
        if (unpack_end(&inner) != R_OK)
            return fault_set(f, FAULT_CORRUPTION, "a note makes no sense");
        used += LENGTH + note.n + HASH;
    }
    *used_out = used;
    return R_OK;
}
