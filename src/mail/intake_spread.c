#include "mail/intake_inside.h"

// One message into several mailboxes: the change is alone in its batch, so that what refuses half-way leaves nothing, and two
// that ask the same (`along`) come one after the other.

struct spread_call {
    struct account *account;
    struct intake_spread *spread;
    struct fault *fault;
    enum result result;
};

// A place in the change.
struct spot {
    struct mailbox *mailbox;
    struct intake_item item;  // with marks
    struct message_row row;
    size_t first;  // the spot that has the same intake
    size_t at;     // its record in the batch
};

static size_t
first_of(const struct intake_spread *s, size_t i)
{
    size_t first = 0;
    while (s->places[first].item.intake != s->places[i].item.intake)
        first++;
    return first;
}

static enum result
spot_fill(struct account *a, const struct intake_spread *s, struct spot *spots, size_t i,
          struct fault *f)
{
    const struct intake_place *p = &s->places[i];
    const struct intake *in = p->item.intake;
    struct spot *spot = &spots[i];
    spot->mailbox = mailbox_of(a, p->mailbox);
    if (!spot->mailbox || (spot->mailbox->state->flags & MAILBOX_NOSELECT))
        return fault_set(f, FAULT_TRYCREATE, "mailbox is gone");
    if (mailbox_next(a, spot->mailbox)->uidnext >= UINT32_MAX - s->n)
        return fault_set(f, FAULT_LIMIT, "mailbox has no UIDs left");
    spot->item = *intake_marked(a->batch_arena, spot->mailbox, &p->item, 1);
    spot->first = first_of(s, i);
    intake_row(&spot->item, &spot->row);
    if (spot->first < i) {
        spot->row.emailid = spots[spot->first].row.emailid;
        spot->row.threadid = spots[spot->first].row.threadid;
        return R_OK;
    }
    struct thread_ask ask = {in->keys, in->key_count, NULL};
    return thread_assign(a, &ask, &spot->row.threadid, f);
}

static enum result
check_quota(struct account *a, const struct intake_spread *s, struct fault *f)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < s->n; i++)
        octets += s->places[i].item.intake->size;
    return s->n == 0
               ? R_OK
               : quota_room_messages(a, s->n, octets, s->places[0].item.params.quota, f);
}

// No room for more keywords: then without.
static enum result
name_keywords(struct account *a, struct store_batch *b, struct spot *spot, struct fault *f)
{
    struct keyword_names names = {spot->item.params.keywords,
                                  spot->item.params.keyword_count};
    struct keyword_list numbers;
    if (keyword_numbers(a, spot->mailbox, b, &names, &numbers, f) == R_OK)
        return R_OK;
    spot->item.params.keyword_count = 0;
    return f->kind == FAULT_LIMIT ? R_OK : R_FAIL;
}

static void
put_filed(struct account *a, struct store_batch *b, struct spot *spot, size_t added)
{
    struct buf keywords, packed;
    intake_count_in(a, b, spot->mailbox, &spot->item, &spot->row, &keywords);
    struct record_filed r = {.mailbox = spot->mailbox->id,
                             .counts = *mailbox_next(a, spot->mailbox),
                             .back = (uint32_t)(store_batch_count(b) - added),
                             .row = spot->row,
                             .keywords = buf_span(&keywords)};
    buf_init(&packed, LIMIT_record_meta);
    record_filed_put(&packed, &r);
    must(!packed.over);
    store_batch_add(b, RECORD_FILED, buf_span(&packed), NULL);
    buf_done(&packed);
    buf_done(&keywords);
}

static void
put_spots(struct account *a, struct store_batch *b, struct intake_spread *s,
          struct spot *spots)
{
    for (size_t i = 0; i < s->n; i++) {
        struct spot *spot = &spots[i];
        mailbox_next(a, spot->mailbox)->modseq = change_modseq(a);
        spot->at = store_batch_count(b);
        if (spot->first < i)
            put_filed(a, b, spot, spots[spot->first].at);
        else
            intake_put(a, b, spot->mailbox, &spot->item, spot->item.intake->packed_keys,
                       &spot->row);
        s->places[i].out =
            (struct intake_result){spot->mailbox->state->uidvalidity, spot->row.uid,
                                   spot->row.emailid, spot->row.threadid};
    }
}

static enum result
spread_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct intake_spread *s = arg;
    struct spot *spots = arena_array(a->batch_arena, s->n, sizeof *spots);
    if (s->along && s->along->check(a, s->along->arg, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < s->n; i++)
        if (spot_fill(a, s, spots, i, f) != R_OK)
            return R_FAIL;
    if (check_quota(a, s, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < s->n; i++)
        if (name_keywords(a, b, &spots[i], f) != R_OK)
            return R_FAIL;
    put_spots(a, b, s, spots);
    if (s->along)
        s->along->put(a, b, s->along->arg);
    return R_OK;
}

static void
spread_run(void *arg)
{
    struct spread_call *c = arg;
    c->result =
        account_change(c->account, spread_change, c->spread, CHANGE_ALONE, NULL, c->fault);
}

enum result
intake_commit_spread(struct account *a, struct intake_spread *s, struct fault *f)
{
    struct spread_call c = {a, s, f, R_FAIL};
    for (size_t i = 0; i < s->n; i++)
        must(s->places[i].item.intake->finished);
    account_run(a, spread_run, &c);
    return c.result;
}
