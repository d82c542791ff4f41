// What a smarthost answers, and the queue's files: first octet even an answer, odd an envelope and notes, or a head (bit 1), whose
// checksums are made true. What is not whole is none, what is accepted prints and reads the same again.
#include "base/hash.h"
#include "base/pack.h"
#include "relay/queue_file.h"
#include "relay/reply.h"
#include "relay/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { SUM = 8, CUTS = 64, NOTES_MAX = 1 << 20 };

// Every mechanism that is offered is found again.
static void
offer(struct span reply)
{
    struct smtp_offer o;
    struct span rest, word;
    smtp_offer_read(reply, &o);
    rest = span_str(o.mechanisms);
    must(rest.n <= SMTP_WORDS);
    while (span_next_field(&rest, ' ', &word) == R_OK) {
        char name[SMTP_WORDS + 1];
        snprintf(name, sizeof name, "%.*s", SPAN_ARG(word));
        must(word.n == 0 || smtp_offer_has(&o, name));
    }
    must(!smtp_offer_has(&o, ""));
}

// The only line with a blank behind its code, or nothing (RFC 5321 section 4.2.1), is the last.
static void
lines(struct span reply)
{
    struct span line;
    while (span_next_field(&reply, '\n', &line) == R_OK && reply.n > 0)
        must(line.n > 3 && line.p[3] == '-');
    must(reply.p != NULL && line.n >= 3 && (line.n <= 4 || line.p[3] == ' '));
}

static void
answer(struct span in)
{
    struct smtp_reply r, cut;
    struct fault f;
    size_t used = 0, none = 0;
    if (smtp_reply_take(in, &r, &used, &f) != R_OK || used == 0)
        return;
    if (used > in.n || r.code < 200 || r.code > 599 || strlen(r.words) > SMTP_WORDS)
        abort();
    must(r.status[0] - '0' == r.code / 100);
    for (size_t at = 0; at < used; at += 1 + used / CUTS)
        must(smtp_reply_take(span_slice(in, 0, at), &cut, &none, &f) == R_OK && none == 0);
    must(smtp_reply_take(span_slice(in, 0, used), &cut, &none, &f) == R_OK && none == used);
    must(memcmp(&cut, &r, sizeof r) == 0);
    lines(span_slice(in, 0, used));
    offer(span_slice(in, 0, used));
}

static void
text(struct span in)
{
    struct relay_lines l;
    struct buf out;
    buf_init(&out, 2 * in.n + 16);
    relay_lines_init(&l, true);
    relay_lines_feed(&l, in, &out);
    relay_lines_end(&l, &out);
    for (size_t i = 0; i < out.n; i++)
        if ((out.p[i] == '\r') != (i + 1 < out.n && out.p[i + 1] == '\n') ||
            (out.p[i] == '.' && (i == 0 || out.p[i - 1] == '\n') &&
             (i + 1 == out.n || out.p[i + 1] != '.')))
            abort();  // a bare CR or LF, or a dot alone
    buf_done(&out);
}

// ---- files ----

static void
head(struct span in)
{
    struct queue_head h, again;
    struct fault f;
    struct buf b, printed;
    uint64_t id = 0;
    char name[QUEUE_NAME];
    buf_init(&b, QUEUE_HEAD);
    buf_init(&printed, QUEUE_HEAD);
    buf_put(&b, span_slice(in, 0, QUEUE_HEAD - SUM));
    pack_u64(&b, hash64(buf_span(&b)));
    if (queue_head_get(buf_span(&b), &h, &f) == R_OK) {
        must(h.text_n <= INT64_MAX / 4);
        queue_head_put(&printed, &h);
        must(queue_head_get(buf_span(&printed), &again, &f) == R_OK);
        must(memcmp(&again, &h, sizeof h) == 0);
        printed.p[h.created_ms % QUEUE_HEAD] ^= 1;
        must(queue_head_get(buf_span(&printed), &again, &f) != R_OK);
    }
    if (queue_name_id(in, &id) == R_OK) {
        queue_name(id, name);
        must(span_eq(span_str(name), in));
    }
    buf_done(&b);
    buf_done(&printed);
}

static void
put_note(struct buf *b, struct span note)
{
    pack_u32(b, (uint32_t)note.n);
    buf_put(b, note);
    pack_u64(b, hash64(note));
}

static struct queue_mail
mail_of(const struct relay_envelope *e, struct arena *a)
{
    struct queue_mail m = {.envelope = *e};
    m.to = arena_array(a, e->to_count, sizeof *m.to);
    return m;
}

// Notes that say all that is known of a mail.
static void
put_all_notes(struct buf *b, const struct queue_mail *m, struct arena *a)
{
    struct buf note;
    size_t *which = arena_array(a, m->envelope.to_count, sizeof *which);
    buf_init(&note, NOTES_MAX);
    for (size_t i = 0; i < m->envelope.to_count; i++)
        which[i] = i;
    queue_note_outcome(&note, m, which, m->envelope.to_count);
    put_note(b, buf_span(&note));
    buf_reset(&note);
    queue_note_schedule(&note, m->tries, m->next_s);
    put_note(b, buf_span(&note));
    buf_reset(&note);
    queue_note_held(&note, m->held);
    put_note(b, buf_span(&note));
    for (size_t i = 0; i < 2 * m->envelope.to_count; i++) {
        const struct queue_recipient *r = &m->to[i / 2];
        buf_reset(&note);
        queue_note_told(&note, &which[i / 2], 1, i % 2);
        if (i % 2 ? r->told_late : r->told)
            put_note(b, buf_span(&note));
    }
    buf_done(&note);
}

static void
notes_again(const struct queue_mail *m, struct arena *a)
{
    struct queue_mail again = mail_of(&m->envelope, a);
    struct buf b;
    struct fault f;
    size_t used = 0;
    buf_init(&b, NOTES_MAX);
    put_all_notes(&b, m, a);
    must(!b.over && queue_notes_fold(buf_span(&b), a, &again, &used, &f) == R_OK);
    must(used == b.n && again.tries == m->tries && again.next_s == m->next_s);
    must(again.held == m->held);
    for (size_t i = 0; i < m->envelope.to_count; i++) {
        const struct queue_recipient *x = &m->to[i], *y = &again.to[i];
        must(x->state == y->state && x->code == y->code && x->told == y->told &&
             x->told_late == y->told_late && span_eq(x->status, y->status));
        must(x->state == QUEUE_SENT ? span_starts(x->reply, y->reply)
                                    : span_eq(x->reply, y->reply));
    }
    buf_done(&b);
}

// Each note of the input is an octet with its size and its octets. Of a file that is cut the notes before count.
static void
notes(const struct relay_envelope *e, struct span in, struct arena *a)
{
    struct queue_mail m = mail_of(e, a), cut = mail_of(e, a);
    struct buf b;
    struct fault f;
    size_t used = 0, less = 0;
    buf_init(&b, NOTES_MAX);
    while (in.n > 0) {
        size_t size = (unsigned char)in.p[0];
        put_note(&b, span_slice(in, 1, 1 + size));
        in = span_skip(in, 1 + size);
    }
    if (queue_notes_fold(buf_span(&b), a, &m, &used, &f) == R_OK) {
        must(used <= b.n);
        notes_again(&m, a);
        if (used > 0)
            must(queue_notes_fold(span_slice(buf_span(&b), 0, used - 1), a, &cut, &less,
                                  &f) == R_OK &&
                 less < used);
    } else {
        must(f.kind == FAULT_CORRUPTION);
    }
    buf_done(&b);
}

static void
file(struct span in)
{
    struct relay_envelope e, again;
    struct fault f;
    struct buf once, twice;
    struct arena *a = arena_new();
    size_t cut = in.n > 0 ? (unsigned char)in.p[0] : 0;
    buf_init(&once, NOTES_MAX);
    buf_init(&twice, NOTES_MAX);
    if (relay_envelope_get(span_slice(in, 1, 1 + cut), a, &e, &f) == R_OK) {
        relay_envelope_put(&once, &e);
        must(relay_envelope_get(buf_span(&once), a, &again, &f) == R_OK);
        relay_envelope_put(&twice, &again);
        must(span_eq(buf_span(&once), buf_span(&twice)));
        notes(&e, span_skip(in, 1 + cut), a);
    }
    buf_done(&once);
    buf_done(&twice);
    arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of((const char *)data, n);
    if (n == 0)
        return 0;
    if (!(data[0] & 1))
        answer(span_skip(in, 1));
    else if (data[0] & 2)
        head(span_skip(in, 1));
    else
        file(span_skip(in, 1));
    text(in);
    return 0;
}
