#include "ctl/shipment.h"
#include "mail/message.h"
#include "mail/uidl.h"

enum { BATCH = 16, PIECE = 16384 };

void
shipment_put(struct shipment *s, enum parcel_kind kind, struct span payload)
{
    struct buf b;
    buf_init(&b, PARCEL_MAX + PARCEL_HEAD);
    parcel_put(&b, kind, payload);
    verb_out(s->call, buf_span(&b));
    buf_done(&b);
}

void
shipment_mailbox(struct shipment *s, const struct parcel_mailbox *head)
{
    struct buf b;
    buf_init(&b, PARCEL_MAX + PARCEL_HEAD);
    parcel_put_mailbox(&b, PARCEL_MAILBOX, head);
    verb_out(s->call, buf_span(&b));
    buf_done(&b);
}

static enum result
put_octets(struct shipment *s, const struct message_row *row, struct fault *f)
{
    char piece[PIECE];
    for (uint64_t at = 0; at < row->size; at += sizeof piece) {
        uint64_t left = row->size - at;
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        if (message_read(verb_host(s->call)->mail, row, at, n, piece, f) != R_OK)
            return R_FAIL;
        shipment_put(s, PARCEL_OCTETS, span_of(piece, n));
    }
    return R_OK;
}

// Who takes the parcels of a restore tells it himself.
static void
left_out(struct shipment *s, struct span mailbox, uint32_t uid, const struct fault *f)
{
    s->left_out++;
    if (s->store == NULL)
        verb_note(s->call, "problem",
                  FIELDS(field_text("where", "%", mailbox),
                         field_number("uid", ": UID %", uid),
                         field_str("message", ": %", f->why)));
}

static void
put_head(struct shipment *s, const struct parcel_message *head,
         const struct message_row *row)
{
    struct buf b;
    buf_init(&b, (PARCEL_MAX + PARCEL_HEAD) * 2);
    parcel_put_message(&b, PARCEL_MESSAGE, head);
    if (s->store != NULL) {
        struct parcel_origin o = {.emailid = row->emailid,
                                  .threadid = row->threadid,
                                  .save_date = row->save_date};
        memcpy(o.store, s->store, sizeof o.store);
        parcel_put_origin(&b, &o);
    }
    verb_out(s->call, buf_span(&b));
    buf_done(&b);
}

static enum result
put_message(struct shipment *s, struct view *v, struct span mailbox,
            const struct view_message *m, struct fault *f)
{
    struct parcel_message head = {.uid = m->row.uid,
                                  .flags = m->row.flags,
                                  .has_date = true,
                                  .date = m->row.internal_date,
                                  .zone_min = m->row.zone_min,
                                  .where = mailbox,
                                  .uidl = maildrop_uidls_find(s->uidls, m->row.uid)};
    struct arena *a = arena_new();
    struct fault why;
    enum result r =
        view_keywords(v, m->row.keywords, a, &head.keywords, &head.keyword_count, f);
    if (r == R_OK) {
        put_head(s, &head, &m->row);
        if (put_octets(s, &m->row, &why) == R_OK) {
            shipment_put(s, PARCEL_END, SPAN_NONE);
            s->messages++;
            s->octets += m->row.size;
        } else {
            shipment_put(s, PARCEL_ABORT, span_str(why.why));
            left_out(s, mailbox, m->row.uid, &why);
        }
    }
    arena_free(&a);
    return r;
}

enum result
shipment_messages(struct shipment *s, struct view *v, struct span mailbox,
                  const struct seqset *uids, struct fault *f)
{
    struct view_message messages[BATCH];
    struct view_cursor cursor;
    size_t n;
    struct arena *a = arena_new_small();
    s->uidls = s->store == NULL ? maildrop_uidls_read(v, a) : NULL;
    enum result r = view_cursor_init(&cursor, v, uids, uids != NULL, f);
    while (r == R_OK && (r = view_next(&cursor, messages, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; r == R_OK && i < n; i++)
            r = put_message(s, v, mailbox, &messages[i], f);
    s->uidls = NULL;
    arena_free(&a);
    return r == R_NONE ? R_OK : r;
}
