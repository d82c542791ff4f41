#include "relay/queue_inside.h"
#include "base/limits.h"
#include "base/log.h"

#include <errno.h>
#include <unistd.h>

enum { AGAIN_MAX = 60, AGAIN_MS = 1000 };

// ---- on the pool ----

static void
open_on_pool(void *arg)
{
    struct queue_visit *v = arg;
    uint64_t id = v->entry->id;
    v->result = queue_file_open(v->queue->folder, id, &v->fd, &v->fault);
    if (v->result == R_OK)
        v->result = queue_file_load(v->fd, id, v->arena, &v->mail, &v->fault);
    if (v->result == R_OK && v->verify)
        v->result = queue_file_verify(v->fd, &v->mail, &v->fault);
    v->damaged = v->result == R_FAIL && v->fd >= 0 && v->mail.to != NULL &&
                 v->fault.kind == FAULT_CORRUPTION;
    if (v->damaged)
        v->result = R_OK;
}

static void
note_on_pool(void *arg)
{
    struct queue_visit *v = arg;
    v->result = queue_file_note(v->fd, &v->mail, v->note, &v->fault);
}

static void
unlink_on_pool(void *arg)
{
    struct queue_visit *v = arg;
    char name[QUEUE_NAME], kept[QUEUE_NAME + 8];
    int folder = v->queue->folder;
    queue_name(v->entry->id, name);
    snprintf(kept, sizeof kept, "%s.damaged", name);
    v->result = R_OK;
    int done =
        v->damaged ? renameat(folder, name, folder, kept) : unlinkat(folder, name, 0);
    if (done != 0 && errno != ENOENT)
        v->result = fault_errno(&v->fault, FAULT_DISK, name);
}

// ---- in the task ----

// A file of which not even the envelope can be read is kept for a person to look at; a disk that fails may work again.
static enum result
set_aside(struct queue_visit *v)
{
    if (v->result == R_NONE)
        return R_NONE;
    if (v->fault.kind == FAULT_CORRUPTION) {
        queue_unreadable(v->queue, v->entry->id, &v->fault);
        return R_NONE;
    }
    log_error("relay", "a file of the queue cannot be read now",
              field_id("id", "id=%", v->entry->id), log_fault(&v->fault));
    return R_FAIL;
}

enum result
visit_open(struct queue_visit *v, struct relay_queue *q, struct queue_entry *e, bool verify)
{
    *v = (struct queue_visit){.queue = q, .entry = e, .fd = -1, .verify = verify};
    v->arena = arena_new();
    e->visits++;
    pool_run(q->o.pool, open_on_pool, v);
    if (v->result == R_OK) {
        v->changed = arena_array(v->arena, v->mail.envelope.to_count, sizeof *v->changed);
        return R_OK;
    }
    enum result r = set_aside(v);
    visit_close(v);
    return r;
}

void
visit_close(struct queue_visit *v)
{
    if (v->fd >= 0)
        close(v->fd);
    v->fd = -1;
    arena_free(&v->arena);
    if (--v->entry->visits == 0 && v->entry->gone)
        free(v->entry);
    v->entry = NULL;
}

size_t
visit_waiting(const struct queue_visit *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->mail.envelope.to_count; i++)
        n += v->mail.to[i].state == QUEUE_WAITING;
    return n;
}

int64_t
visit_from_s(const struct queue_visit *v, int64_t now_s)
{
    int64_t hold_s = v->mail.envelope.hold_until_s, created_s = v->entry->created_s;
    return hold_s > created_s && hold_s <= now_s ? hold_s : created_s;
}

// Octets of notes. More of them than are read would make the file a damaged one: that a recipient still waits can go unwritten.
static uint64_t
notes_of(const struct queue_visit *v)
{
    return v->mail.notes_end - queue_text_at(&v->mail) - v->mail.head.text_n;
}

// What is known already is not written again: a mail with many recipients may be tried many times.
void
visit_set(struct queue_visit *v, size_t i, enum queue_state state,
          const struct smtp_reply *r)
{
    struct queue_recipient *to = &v->mail.to[i];
    struct span status = span_str(r->status), words = span_str(r->words);
    words = span_slice(words, 0, LIMIT_relay_reply_kept);
    if (to->state == state && to->code == r->code && span_eq(to->status, status) &&
        to->reply.n > 0)
        return;
    to->state = (uint8_t)state;
    to->code = r->code;
    to->status = arena_dup(v->arena, status);
    to->reply = arena_dup(v->arena, words);
    if (state == QUEUE_WAITING && notes_of(v) > LIMIT_relay_notes / 2)
        return;
    if (!to->changed)
        v->changed[v->changed_n++] = i;
    to->changed = true;
}

void
visit_write_note(struct queue_visit *v, const struct buf *note)
{
    v->note = buf_span(note);
    v->result = R_OK;
    if (note->over)
        v->result = fault_set(&v->fault, FAULT_LIMIT, "a note is too long");
    else
        pool_run(v->queue->o.pool, note_on_pool, v);
    if (v->result != R_OK)
        log_error("relay", "the queue cannot be written",
                  field_id("id", "id=%", v->entry->id), log_fault(&v->fault));
}

// Room for notes was asked for when the file was made. Where the disk takes none all the same, it is asked again: a mail whose
// outcome is not written down would go out once more.
void
visit_write(struct queue_visit *v)
{
    struct buf note;
    v->entry->waiting = (uint32_t)visit_waiting(v);
    if (v->changed_n == 0)
        return;
    buf_init(&note, LIMIT_relay_notes);
    queue_note_outcome(&note, &v->mail, v->changed, v->changed_n);
    visit_write_note(v, &note);
    for (unsigned i = 0; v->result != R_OK && i < AGAIN_MAX && !v->queue->draining; i++) {
        task_sleep(AGAIN_MS);
        visit_write_note(v, &note);
    }
    buf_done(&note);
    for (size_t i = 0; i < v->changed_n; i++)
        v->mail.to[v->changed[i]].changed = false;
    v->changed_n = 0;
}

enum result
visit_unlink(struct queue_visit *v)
{
    pool_run(v->queue->o.pool, unlink_on_pool, v);
    if (v->result != R_OK)
        log_error("relay", "a file of the queue stays",
                  field_id("id", "id=%", v->entry->id), log_fault(&v->fault));
    return v->result;
}
