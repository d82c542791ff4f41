#include "ctl/import_pull.h"

#include "ctl/import.h"
#include "ctl/import_ids.h"
#include "ctl/import_state.h"
#include "mail/message.h"
#include "pull/pull.h"

struct import_pull *
import_pull_new(struct span source, bool dry_run, bool prove)
{
    struct import_pull *p = calloc(1, sizeof *p);
    must(p != NULL);
    p->arena = arena_new();
    p->batch = arena_new();
    p->scratch = arena_new();
    p->source = arena_dup(p->arena, source);
    p->dry_run = dry_run;
    p->ids = import_ids_new();
    p->all.here = import_ids_new();
    p->proof = prove ? import_proof_new() : NULL;
    seqset_init(&p->wanted, p->batch);
    return p;
}

void
import_pull_free(struct import_pull **pp)
{
    struct import_pull *p = *pp;
    if (p == NULL)
        return;
    *pp = NULL;
    must(p->view == NULL);
    import_ids_free(&p->ids);
    import_ids_free(&p->all.here);
    import_have_free(&p->all.have);
    import_proof_free(&p->proof);
    arena_free(&p->scratch);
    arena_free(&p->batch);
    arena_free(&p->arena);
    free(p);
}

bool
import_pull_is_dry(const struct import_pull *p)
{
    return p != NULL && p->dry_run;
}

// ---- state ----

static struct span
state_name(struct import *im, struct span mailbox)
{
    struct buf b;
    arena_reset(im->pull->scratch);
    buf_init(&b, PARCEL_MAX);
    buf_put(&b, im->pull->source);
    buf_put_char(&b, '/');
    buf_put(&b, mailbox);
    struct span name = arena_dup(im->pull->scratch, buf_span(&b));
    buf_done(&b);
    return name;
}

static void
answer(struct import *im, void (*put)(struct buf *b, const void *arg), const void *arg)
{
    struct buf b;
    buf_init(&b, (PARCEL_MAX + PARCEL_HEAD) * 2);
    put(&b, arg);
    must(!b.over);
    verb_out(im->call, buf_span(&b));
    buf_done(&b);
}

static void
put_state(struct buf *b, const void *arg)
{
    parcel_put_state(b, PARCEL_STATE, arg);
}

static void
put_want(struct buf *b, const void *arg)
{
    parcel_put_want(b, arg);
}

static enum result
recall(struct import *im, struct span name, struct fault *f)
{
    struct parcel_state s = {0};
    struct span target;
    struct fault why;
    if (import_map(im, f) != R_OK)
        return R_FAIL;
    target = import_names_target(&im->names, name, im->arena);
    if (mail_name_check(im->arena, target, &target, &why) == R_OK)
        import_state_load(im->user, target, state_name(im, name), &s);
    answer(im, put_state, &s);
    return R_OK;
}

static void
save(struct import *im, struct parcel_state s)
{
    struct import_pull *p = im->pull;
    struct fault why;
    if (p->left > 0 && p->left <= s.done)
        s = (struct parcel_state){.uidvalidity = s.uidvalidity, .done = p->left - 1};
    if (p->dry_run || im->target.p == NULL)
        return;
    if (import_state_save(im->user, im->target, state_name(im, im->source.name), &s,
                          &why) != R_OK)
        import_note(
            im, "not_remembered",
            FIELDS(field_text("mailbox", "%: how far it came cannot be kept, ", im->target),
                   field_str("message", "so the next run takes longer: %", why.why)));
}

// ---- the mailbox ----

enum result
import_pull_begin(struct import *im, struct fault *f)
{
    struct import_pull *p = im->pull;
    p->left = 0;
    p->before = im->counts;
    p->flags_before = p->flags;
    p->unlabelled = 0;
    p->offered = (struct import_offered){0};
    if (p->proof != NULL)
        import_proof_begin(p->proof);
    import_state_load(im->user, im->target, state_name(im, im->source.name), &p->was);
    if (p->was.uidvalidity != im->source.uidvalidity)
        p->was = (struct parcel_state){0};
    if (p->box_count == p->box_room) {
        p->box_room = p->box_room ? p->box_room * 2 : 64;
        struct mailbox_ref *grown = arena_array(p->arena, p->box_room, sizeof *grown);
        if (p->box_count > 0)
            memcpy(grown, p->boxes, p->box_count * sizeof *grown);
        p->boxes = grown;
    }
    p->boxes[p->box_count++] = im->ref;
    if (im->source.role == PULL_ALL)
        p->all.box = p->box_count - 1;
    return view_open(&im->ref, true, NULL, NULL, &p->view, f);
}

static void
forget_batch(struct import_pull *p)
{
    arena_reset(p->batch);
    seqset_init(&p->wanted, p->batch);
    p->copy_count = p->copied = 0;
    p->answered = false;
}

// What was answered last is over: all that was wanted came.
static enum result
end_batch(struct import *im, struct fault *f)
{
    struct import_pull *p = im->pull;
    if (!p->answered)
        return R_OK;
    if (import_pull_copy(im, UINT32_MAX, f) != R_OK)
        return R_FAIL;
    forget_batch(p);
    return R_OK;
}

void
import_pull_forget(struct import *im)
{
    struct import_pull *p = im->pull;
    view_close(&p->view);
    view_close(&p->writer);
    if (im->source.role == PULL_ALL && p->all.have == NULL) {
        p->all.have = im->have;
        im->have = NULL;
    }
    p->was = (struct parcel_state){0};
    forget_batch(p);
}

void
import_pull_left(struct import *im, uint32_t uid)
{
    struct import_pull *p = im->pull;
    uint32_t from = uid > 0 ? uid : p->was.done + 1;
    if (p->left == 0 || from < p->left)
        p->left = from;
}

static struct import_ids_place
here(const struct import_pull *p, uint32_t uid, const struct parcel_message *h)
{
    return (struct import_ids_place){p->box_count - 1, uid, h->size, h->date};
}

void
import_pull_done(struct import *im, const struct import_message *m, uint32_t uid)
{
    import_pull_prove(im, &m->head, uid, intake_hash(m->intake));
    import_ids_add(im->pull->ids, m->head.id, here(im->pull, uid, &m->head));
}

void
import_pull_prove(struct import *im, const struct parcel_message *h, uint32_t uid,
                  struct span sha256)
{
    const struct import_proof_message m = {.there = h->uid,
                                           .here = uid,
                                           .flags = h->flags,
                                           .keywords = h->keywords,
                                           .keyword_count = h->keyword_count,
                                           .sha256 = sha256};
    if (im->pull->proof != NULL)
        import_proof_add(im->pull->proof, &m);
}

// What came since the last time is read back from the disk.
static enum result
prove(struct import *im, struct fault *f)
{
    struct import_pull *p = im->pull;
    struct view_delta delta;
    struct seqset wrong;
    struct seqset_iter at = {0};
    uint32_t uid;
    char where[32];
    if (p->view == NULL)
        return R_OK;
    arena_reset(p->scratch);
    seqset_init(&wrong, p->scratch);
    if (view_sync(p->view, 0, p->scratch, &delta, f) != R_OK)
        return R_FAIL;
    if (p->proof != NULL &&
        import_proof_check(p->proof, p->view, p->scratch, &wrong, f) != R_OK)
        return R_FAIL;
    while (seqset_next(&wrong, &at, &uid)) {
        snprintf(where, sizeof where, "UID %u", uid);
        import_leave_out(im, span_str(where),
                         SPAN("what is on disk here is not what came"));
    }
    return R_OK;
}

static void
tell(struct import *im, const struct parcel_state *s, struct span target)
{
    const struct import_pull *p = im->pull;
    const struct import_counts *now = &im->counts, *was = &p->before;
    struct import_proof_result proof = {.checked = 0};
    bool proved = p->proof != NULL;
    struct tree_entry here = {0};
    struct fault why;
    bool listed = p->offered.messages == s->messages;  // not only what is new
    bool known = im->target.p != NULL &&
                 tree_status(im->user, im->mailbox_arena, target, &here, &why) == R_OK;
    if (proved)
        import_proof_end(p->proof, &proof);
    verb_row(
        im->call, "mailbox",
        FIELDS(field_text("mailbox", "%", target),
               field_text("source", "", im->source.there),
               field_number("messages", ": % there", s->messages),
               field_if(listed, field_number("source_octets", "", p->offered.octets)),
               field_if(known, field_number("here", ", % here", here.counts.exists)),
               field_if(known, field_number("here_octets", "", here.counts.size)),
               field_number("imported", ", % imported", now->messages - was->messages),
               field_number("octets", " (% octets)", now->octets - was->octets),
               field_number("present", ", % were here", now->present - was->present),
               field_number("flags", ", % got other flags", p->flags - p->flags_before),
               field_if(p->unlabelled > 0,
                        field_number("unlabelled", ", % lost the label", p->unlabelled)),
               field_if(s->gone > p->unlabelled,
                        field_number("gone", ", % are gone there and kept here",
                                     s->gone - p->unlabelled)),
               field_if(
                   now->left_out > was->left_out,
                   field_number("left_out", ", % LEFT OUT", now->left_out - was->left_out)),
               field_if(proved, field_number("checked", "", proof.checked)),
               field_if(proved, field_str("source_sha256", "", proof.came)),
               field_if(proved, field_str("sha256", "", proof.here))));
}

static enum result
settle(struct import *im, const struct parcel_state *s, struct fault *f)
{
    struct span target = im->target.p != NULL ? im->target : im->source.name;
    if (end_batch(im, f) != R_OK)
        return R_FAIL;
    import_wait(im, 0);
    if (prove(im, f) != R_OK)
        return R_FAIL;
    if (!s->last) {
        if (im->deferred_count == 0)
            save(im, *s);
        return R_OK;
    }
    if (import_mailbox_settle(im, f) != R_OK)
        return R_FAIL;
    import_wait(im, 0);
    if (prove(im, f) != R_OK || import_unlabel(im, f) != R_OK)
        return R_FAIL;
    save(im, *s);
    tell(im, s, target);
    return import_mailbox_end(im, f);
}

// ---- offers ----

// The message here that is offered: of its UID, where UIDs are kept, and the same in all else that is known of it; a
// delivery may have taken that UID. Where UIDs are not kept nothing tells them apart, and flags stay as they are here.
static const struct message_row *
find_here(struct import *im, const struct parcel_message *h)
{
    const struct message_row *row =
        im->have != NULL && im->keep_uids ? import_have_row(im->have, h->uid) : NULL;
    return row != NULL && row->size == h->size && h->has_date &&
                   row->internal_date == h->date
               ? row
               : NULL;
}

static enum result
want(struct import *im, struct span payload, const struct parcel_message *h,
     struct fault *f)
{
    struct import_pull *p = im->pull;
    struct import_ids_place from;
    if (p->dry_run) {
        im->counts.messages++;
        im->counts.octets += h->size;
        import_ids_add(p->ids, h->id, here(p, h->uid, h));
        return R_OK;
    }
    bool known = import_ids_find(p->ids, h->id, &from) == R_OK && from.size == h->size &&
                 from.date == h->date && from.box != p->box_count - 1;
    if (known && p->copy_count < LIMIT_pull_batch) {
        struct import_copy *c = &p->copies[p->copy_count++];
        c->from = from;
        return parcel_get_message(arena_dup(p->batch, payload), p->batch, &c->head);
    }
    if (seqset_size(&p->wanted) >= LIMIT_pull_batch)
        return fault_set(f, FAULT_BAD, "more is offered than is asked for");
    seqset_add(&p->wanted, h->uid);
    return R_OK;
}

static enum result
take_offer(struct import *im, struct span payload, const struct parcel_message *h,
           struct fault *f)
{
    struct import_pull *p = im->pull;
    const struct message_row *row = find_here(im, h);
    if (row != NULL) {
        im->counts.present++;
        import_ids_add(p->ids, h->id, here(p, row->uid, h));
        if (im->source.role == PULL_ALL)
            import_ids_add(p->all.here, import_ids_of_row(row), here(p, row->uid, h));
        return import_flags_bring(im, row, h, f);
    }
    if (h->uid > p->was.done && (im->target.p != NULL || p->dry_run))
        return want(im, payload, h, f);
    return R_OK;
}

// ---- batches ----

static enum result
offer(struct import *im, struct span payload, struct fault *f)
{
    struct arena *a = arena_new_small();
    struct parcel_message h;
    enum result r = end_batch(im, f);
    if (r == R_OK && (parcel_get_message(payload, a, &h) != R_OK || h.uid == 0))
        r = fault_set(f, FAULT_BAD, "an offer is malformed");
    if (r == R_OK) {
        im->pull->offered.messages++;
        im->pull->offered.octets += h.size;
        r = take_offer(im, payload, &h, f);
    }
    arena_free(&a);
    return r;
}

static enum result
ask(struct import *im, struct fault *f)
{
    struct import_pull *p = im->pull;
    if (end_batch(im, f) != R_OK)
        return R_FAIL;
    answer(im, put_want, &p->wanted);
    p->answered = true;
    return R_OK;
}

// ---- all ----

static enum result
same(struct import *im, struct span payload, struct fault *f)
{
    struct parcel_mailbox m;
    if (parcel_get_mailbox(payload, &m) != R_OK)
        return fault_set(f, FAULT_BAD, "a mailbox's head is malformed");
    im->counts.mailboxes++;
    im->counts.present += m.messages;
    verb_row(im->call, "mailbox",
             FIELDS(field_text("mailbox", "%",
                               import_names_target(&im->names, m.name, im->arena)),
                    field_text("source", "", m.there),
                    field_number("messages", ": % there", m.messages),
                    field_flag("unchanged", ", nothing new", true)));
    return R_OK;
}

enum result
import_pull_take(struct import *im, const struct parcel *p, struct fault *f)
{
    struct parcel_state s;
    if (im->pull == NULL)
        return fault_set(f, FAULT_BAD, "a parcel of kind %u at the wrong place", p->kind);
    switch (p->kind) {
    case PARCEL_RECALL:
        return recall(im, p->payload, f);
    case PARCEL_SAME:
        return same(im, p->payload, f);
    case PARCEL_OFFER:
        return offer(im, p->payload, f);
    case PARCEL_ASK:
        return ask(im, f);
    case PARCEL_SETTLE:
        return parcel_get_state(p->payload, &s) == R_OK
                   ? settle(im, &s, f)
                   : fault_set(f, FAULT_BAD, "a state is malformed");
    default:
        return fault_set(f, FAULT_BAD, "a parcel of an unknown kind");
    }
}
