#include "ctl/import.h"
#include "base/limits.h"

void
import_message_free(struct import_message **m)
{
    if (*m == NULL)
        return;
    intake_free(&(*m)->intake);
    arena_free(&(*m)->arena);
    free(*m);
    *m = NULL;
}

void
import_note(struct import *im, const char *type, const struct field *fields, size_t n)
{
    struct buf row;
    buf_init(&row, SIZE_MAX);
    field_put_row(&row, span_str(type), SPAN_NONE, fields, n);
    buf_put(&im->notes, buf_span(&row));
    buf_done(&row);
}

void
import_leave_out(struct import *im, struct span where, struct span why)
{
    im->counts.left_out++;
    import_note(
        im, "problem",
        FIELDS(field_text("where", "%", span_slice(where, 0, LIMIT_admin_value)),
               field_text("message", ": %", span_slice(why, 0, LIMIT_admin_value))));
}

static void
leave_out_for(struct import_message *m, struct span why)
{
    if (m->import->pull != NULL)
        import_pull_left(m->import, m->head.uid);
    import_leave_out(m->import, m->head.where, why);
}

static void
leave_out(struct import_message *m, const struct fault *f)
{
    leave_out_for(m, span_str(f->why));
}

// ---- begin ----

bool
import_is_keyword(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 127 || strchr("(){%*\"\\]", s.p[i]) != NULL)
            return false;
    return s.n > 0 && s.n <= LIMIT_keyword;
}

static void
take_keywords(struct import_message *m)
{
    size_t n = 0;
    struct parcel_message *h = &m->head;
    for (size_t i = 0; i < h->keyword_count; i++)
        if (import_is_keyword(h->keywords[i]))
            h->keywords[n++] = h->keywords[i];
        else
            import_leave_out(m->import, h->where, SPAN("a keyword that IMAP cannot show"));
    h->keyword_count = n;
}

enum result
import_message_begin(struct import *im, struct span payload, struct fault *f)
{
    struct import_message *m = calloc(1, sizeof *m);
    must(m != NULL);
    m->import = im;
    m->arena = arena_new();
    im->message = m;
    if (parcel_get_message(arena_dup(m->arena, payload), m->arena, &m->head) != R_OK)
        return fault_set(f, FAULT_BAD, "a message's head is malformed");
    const struct parcel_message *h = &m->head;
    if (im->pull != NULL && import_pull_copy(im, h->uid, f) != R_OK)
        return R_FAIL;
    if (im->pull == NULL && im->keep_uids && h->uid > 0 && h->has_date &&
        import_have_uid(im->have, h->uid, h->date)) {
        im->counts.present++;
        return R_OK;
    }
    take_keywords(m);
    m->params = (struct intake_params){
        .flags = (uint16_t)(h->flags & (im->restore ? FLAG_ALL & ~FLAG_DELETED : FLAG_ALL)),
        .keywords = h->keywords,
        .keyword_count = h->keyword_count,
        .has_internal_date = h->has_date,
        .internal_date = h->date,
        .zone_min = h->zone_min,
        .imported = !im->restore,
        .uidl = h->uidl,
    };
    m->intake = intake_begin(verb_host(im->call)->mail);
    return R_OK;
}

enum result
import_message_origin(struct import *im, struct span payload, struct fault *f)
{
    if (parcel_get_origin(payload, &im->message->origin) != R_OK)
        return fault_set(f, FAULT_BAD, "a message's origin is malformed");
    return R_OK;
}

void
import_message_octets(struct import *im, struct span octets)
{
    struct import_message *m = im->message;
    if (m->intake != NULL && !m->failed)
        m->failed = intake_write(m->intake, octets, &m->fault) != R_OK;
}

void
import_message_abort(struct import *im, struct span why)
{
    leave_out_for(im->message, why);
    import_message_free(&im->message);
}

// ---- commit ----

static void
defer(struct import_message *m)
{
    struct import *im = m->import;
    if (im->deferred_count >= LIMIT_import_deferred) {
        leave_out_for(m, SPAN("its UID is used, and too many others are in the same way"));
        import_message_free(&m);
        return;
    }
    im->deferred_count++;
    *im->deferred_end = m;
    im->deferred_end = &m->next;
}

static void
commit(void *arg)
{
    struct import_message *m = arg;
    struct import *im = m->import;
    struct intake_result done;
    struct fault f;
    enum result r = intake_commit(m->intake, &im->ref, &m->params, &done, &f);
    if (r == R_OK) {
        im->counts.messages++;
        im->counts.octets += intake_size(m->intake);
        if (im->pull != NULL)
            import_pull_done(im, m, done.uid);
    }
    if (r == R_FAIL && f.kind == FAULT_CANNOT && m->params.uid > 0) {
        defer(m);  // a delivery took the UID meanwhile
    } else {
        if (r != R_OK)
            leave_out(m, &f);
        import_message_free(&m);
    }
    im->flying--;
    if (im->waiter != NULL)
        task_wake(im->waiter);
}

void
import_wait(struct import *im, unsigned n)
{
    while (im->flying > n) {
        im->waiter = task_self();
        task_suspend();
        im->waiter = NULL;
    }
}

static void
start_commit(struct import_message *m, uint32_t uid)
{
    struct import *im = m->import;
    m->params.uid = uid;
    if (uid > 0)
        im->uidnext = uid + 1;
    import_wait(im, LIMIT_import_window - 1);
    im->flying++;
    task_start(commit, m);
}

// ---- end ----

// R_OK: those octets are there.
static enum result
is_present(struct import_message *m, struct fault *f)
{
    struct import *im = m->import;
    enum result r = R_NONE;
    if (im->have != NULL && import_have_count(im->have) > 0)
        r = import_have_octets(im->have, intake_size(m->intake), intake_hash(m->intake), f);
    im->counts.present += r == R_OK;
    return r;
}

// The UID for a message that has none in a mailbox whose UIDs are kept: behind all that it had.
static uint32_t
uid_behind(const struct import *im)
{
    return im->uidnext > im->source.uidnext ? im->uidnext : im->source.uidnext;
}

static enum result
only_count(const struct import_message *m)
{
    m->import->counts.messages++;
    m->import->counts.octets += intake_size(m->intake);
    return R_OK;
}

static enum result
place(struct import_message *m, struct fault *f)
{
    struct import *im = m->import;
    uint32_t uid = m->head.uid;
    if (im->keep_uids && uid > 0 && uid <= LIMIT_import_uid) {
        if (uid >= im->uidnext)
            start_commit(m, uid);
        else
            defer(m);
        return R_OK;
    }
    enum result r = is_present(m, f);
    if (r == R_NONE && im->restore != NULL && import_restore_ids(m, f) != R_OK)
        r = R_FAIL;
    if (r == R_NONE && im->restore != NULL && im->restore->dry_run)
        r = only_count(m);
    if (r != R_NONE) {
        import_message_free(&m);
        return r;
    }
    im->counts.renumbered += im->keep_uids && uid > 0;
    start_commit(m, im->keep_uids ? uid_behind(im) : 0);
    return R_OK;
}

enum result
import_message_end(struct import *im, struct fault *f)
{
    struct import_message *m = im->message;
    im->message = NULL;
    if (m->intake != NULL && !m->failed)
        m->failed = intake_finish(m->intake, &m->fault) != R_OK;
    enum result r = R_OK;
    if (m->intake != NULL && !m->failed && im->target.p != NULL) {
        r = im->pull != NULL ? import_pull_twin(im, m, f) : R_NONE;
        if (r == R_NONE)
            return place(m, f);
    } else if (m->failed) {
        leave_out(m, &m->fault);
        if (m->fault.kind == FAULT_DISK) {  // so would all others
            *f = m->fault;
            r = R_FAIL;
        }
    } else if (m->intake != NULL) {
        leave_out_for(m, SPAN("its mailbox could not be made"));
    }
    import_message_free(&m);
    return r;
}

enum result
import_deferred_commit(struct import *im, struct fault *f)
{
    enum result r = R_OK;
    while (im->deferred != NULL) {
        struct import_message *m = im->deferred;
        im->deferred = m->next;
        enum result there = r == R_OK ? is_present(m, f) : R_FAIL;
        if (there == R_NONE) {
            im->counts.renumbered++;
            start_commit(m, 0);
            continue;
        }
        if (there == R_FAIL)
            r = R_FAIL;
        import_message_free(&m);
    }
    im->deferred_end = &im->deferred;
    im->deferred_count = 0;
    import_wait(im, 0);
    return r;
}
