#include "store/journal_inside.h"

#include "base/metrics.h"
#include "base/clock.h"
#include "base/hash.h"
#include "io/loop.h"
#include "io/task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

enum {
    GROUP_OCTETS = 16 << 20,  // one write: more waits for the next one
    ZERO_GROUP = 32 << 10,    // above that groups write no zeros
    ZERO_AHEAD = 256 << 10,
    ROOM_FIRST = 1 << 20,  // of the first segment; it doubles
};

// Batches that are written and synced together.
struct group {
    struct store_batch *first;
    uint64_t octets;
    uint32_t records;
    size_t iovs;
};

// ---- telling ----

static void
tell_tasks(void *arg)
{
    struct store_batch *b = arg;
    while (b) {
        struct store_batch *next = b->next;
        b->done = true;
        task_wake(b->task);
        b = next;
    }
}

static void
tell_threads(struct journal *j, struct store_batch *b)
{
    pthread_mutex_lock(&j->lock);
    while (b) {
        struct store_batch *next = b->next;
        b->done = true;
        b = next;
    }
    pthread_cond_broadcast(&j->done);
    pthread_mutex_unlock(&j->lock);
}

// One message per loop for all its batches of the group. A batch is its waiter's as soon as it is told.
static void
group_tell(struct journal *j, struct group *g)
{
    struct store_batch *rest = g->first;
    while (rest) {
        struct loop *loop = rest->loop;
        struct store_batch *mine = NULL, **mine_end = &mine, *others = NULL,
                           **others_end = &others;
        for (struct store_batch *b = rest; b; b = b->next) {
            struct store_batch ***end = b->loop == loop ? &mine_end : &others_end;
            **end = b;
            *end = &b->next;
        }
        *mine_end = *others_end = NULL;
        rest = others;
        if (loop)
            loop_post(loop, tell_tasks, mine);
        else
            tell_threads(j, mine);
    }
}

static void
group_fail(struct journal *j, struct group *g, const struct fault *f)
{
    for (struct store_batch *b = g->first; b; b = b->next) {
        b->failed = true;
        b->fault = *f;
    }
    group_tell(j, g);
}

static void
journal_stop(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->stopped = true;
    pthread_mutex_unlock(&j->lock);
}

// ---- segments ----

// The sealed segment gives its unused room back and gets its table; nobody waits for the table's sync.
static enum result
segment_seal(struct journal *j, const struct table *t, struct fault *f)
{
    struct fault ignored;
    if (ftruncate(j->fd, (off_t)j->end) != 0)
        return fault_errno(f, FAULT_DISK, "journal: sealing a segment");
    if (disk_sync(j->fd, f) != R_OK)
        return R_FAIL;
    pthread_mutex_lock(&j->segments.tables_lock);
    if (segments_table_write(&j->segments, &j->header, t, j->end, &ignored) != R_OK)
        ignored.why[0] = '\0';  // made by a walk when it is needed
    pthread_mutex_unlock(&j->segments.tables_lock);
    return R_OK;
}

// Small servers should not show 64 MiB: the first segment grows with what it holds.
static uint64_t
room_for(const struct journal *j, uint32_t number, uint64_t end)
{
    uint64_t room = end * 2 > ROOM_FIRST ? end * 2 : ROOM_FIRST;
    if (number > 1 || room > j->segment_size)
        room = j->segment_size;
    return room > end ? room : end;
}

enum result
journal_roll(struct journal *j, uint64_t first_seq, uint64_t room, struct fault *f)
{
    struct segments *s = &j->segments;
    struct segment_header h = {.number = s->count + 1,
                               .first_seq = first_seq,
                               .nonce = random_u64(),
                               .created_s = clock_wall_s()};
    uint64_t size = room_for(j, h.number, LAYOUT_SEGMENT + room);
    int fd;
    memcpy(h.uuid, j->uuid, sizeof h.uuid);
    if (segment_create(s, &h, size, &fd, f) != R_OK) {
        if (segment_exists(
                s,
                h.number))  // perhaps also after a crash: then nothing may follow in the old one
            journal_stop(j);
        return R_FAIL;
    }
    enum result r = j->fd >= 0 ? segment_seal(j, &s->open, f) : R_OK;
    if (r != R_OK) {
        journal_stop(j);
        close(fd);
        return R_FAIL;
    }
    segments_push(s, first_seq);
    handles_forget(&s->handles, HANDLE_SEGMENT, h.number - 1);
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    j->end = LAYOUT_SEGMENT;
    j->zeroed = 0;
    j->room = size;
    j->header = h;
    return R_OK;
}

// ---- a group ----

// A batch larger than a segment has one of its own.
static bool
group_fits(const struct journal *j, const struct group *g, const struct store_batch *b)
{
    if (g->octets == 0)
        return j->end == LAYOUT_SEGMENT || j->end + b->stored <= j->segment_size;
    return g->octets + b->stored <= GROUP_OCTETS &&
           j->end + g->octets + b->stored <= j->segment_size;
}

// Takes batches off the list while they fit together into the open segment; none may.
static struct group
group_take(struct journal *j, struct store_batch **list)
{
    struct group g = {.first = NULL};
    struct store_batch *b = *list, *last = NULL;
    for (; b && group_fits(j, &g, b); b = b->next) {
        g.octets += b->stored;
        g.records += b->count;
        g.iovs += b->iovs;
        last = b;
    }
    if (last) {
        g.first = *list;
        last->next = NULL;
    }
    *list = b;
    return g;
}

static void
group_place(struct journal *j, struct group *g, struct iovec *iov, size_t *iovs_out)
{
    struct batch_position at = {.seq = j->segments.end_seq,
                                .nonce = j->header.nonce,
                                .segment = j->header.number,
                                .time_ms = clock_wall_ms()};
    at.recno = (uint32_t)(at.seq - j->header.first_seq);
    size_t n = 0;
    for (struct store_batch *b = g->first; b; b = b->next) {
        batch_place(b, &at);
        n += batch_iovs(b, iov + n);
        at.seq += b->count;
        at.recno += b->count;
        at.group_pos += b->count;
    }
    must(n <= g->iovs);
    *iovs_out = n;
}

// The write failed before any sync: takes the group off the file again, for certain, or stops.
static void
group_rewind(struct journal *j, int err, struct fault *f)
{
    struct fault sync;
    errno = err;
    fault_errno(f, FAULT_DISK, "journal: write");
    bool space = err == ENOSPC || err == EDQUOT || err == EFBIG;
    if (!space || ftruncate(j->fd, (off_t)j->end) != 0 || disk_sync(j->fd, &sync) != R_OK)
        journal_stop(j);
    j->zeroed = 0;
    j->room = j->end;
}

// Room for a group and the zeros behind it, also after it was given back. Without it the write extends the file or fails.
static void
group_room(struct journal *j, const struct group *g)
{
    uint64_t end = j->end + g->octets;
    if (end + ZERO_AHEAD <= j->segment_size)
        end += ZERO_AHEAD;
    if (end <= j->room)
        return;
    uint64_t room = room_for(j, j->header.number, end);
    if (fallocate(j->fd, 0, 0, (off_t)room) == 0)
        j->room = room;
}

// A sync of blocks that were never written makes the file system commit its own journal too, which costs more than the
// record when groups are small. Then the room of the next ones is written as zeros, synced together with this one;
// where groups are large it does without, since it doubles what is written: also for a small one among them, whose zeros
// the large ones would pay. Recovery reads zeros there in any case.
static void
group_zero_ahead(struct journal *j, const struct group *g)
{
    static char zeros[ZERO_AHEAD];
    // this group is written; should the disk be failing, its sync tells
    struct fault ignored;
    uint64_t end = j->end + g->octets;
    j->usual = (j->usual * 3 + g->octets) / 4;
    if (j->usual > ZERO_GROUP || end <= j->zeroed || end + ZERO_AHEAD > j->segment_size)
        return;
    if (disk_write(j->fd, end, span_of(zeros, sizeof zeros), &ignored) == R_OK)
        j->zeroed = end + ZERO_AHEAD;
}

static enum result
group_write(struct journal *j, struct group *g, struct fault *f)
{
    size_t n;
    int err;
    struct iovec *iov = calloc(g->iovs, sizeof *iov);
    must(iov != NULL);
    group_place(j, g, iov, &n);
    group_room(j, g);
    uint64_t since_us = clock_mono_us();
    enum result r = disk_writev(j->fd, j->end, iov, n, &err);
    free(iov);
    if (r != R_OK) {
        group_rewind(j, err, f);
        return R_FAIL;
    }
    group_zero_ahead(j, g);
    // what is on disk is unknown now: never again (STORE.md rule 4)
    if (fdatasync(j->fd) != 0) {
        fault_errno(f, FAULT_DISK, "journal: fdatasync");
        journal_stop(j);
        return R_FAIL;
    }
    metric_time(METRIC_journal_sync, clock_mono_us() - since_us);
    return R_OK;
}

static void
group_publish(struct journal *j, struct group *g)
{
    struct segments *s = &j->segments;
    uint64_t commits = 0;
    pthread_mutex_lock(&s->lock);
    for (struct store_batch *b = g->first; b; b = b->next) {
        commits++;
        for (uint32_t i = 0; i < b->count; i++) {
            table_add(&s->open, &b->records[i].header, j->end);
            j->end += record_size(&b->records[i].header);
        }
    }
    s->end_offset = j->end;
    s->end_seq += g->records;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&j->lock);
    j->stats.commits += commits;
    j->stats.syncs++;
    j->stats.records += g->records;
    j->stats.octets += g->octets;
    pthread_mutex_unlock(&j->lock);
    metric_add(METRIC_journal_commits, (int64_t)commits);
    metric_add(METRIC_journal_octets, (int64_t)g->octets);
}

static void
group_commit(struct journal *j, struct group *g)
{
    struct fault f;
    if (group_write(j, g, &f) != R_OK) {
        group_fail(j, g, &f);
        return;
    }
    group_publish(j, g);
    for (struct store_batch *b = g->first; b && j->on_durable; b = b->next)
        j->on_durable(b, j->arg);
    group_tell(j, g);
}

// The first batch of the list does not fit: a new segment, or this batch fails.
static void
list_roll(struct journal *j, struct store_batch **list)
{
    struct fault f;
    struct store_batch *b = *list;
    if (journal_roll(j, j->segments.end_seq, b->stored, &f) == R_OK)
        return;
    *list = b->next;
    b->next = NULL;
    struct group g = {.first = b};
    group_fail(j, &g, &f);
}

static void
list_commit(struct journal *j, struct store_batch *list)
{
    while (list) {
        struct fault f;
        if (journal_stopped(j)) {
            struct group all = {.first = list};
            fault_set(&f, FAULT_DISK, "journal: stopped after a disk error");
            group_fail(j, &all, &f);
            return;
        }
        struct group g = group_take(j, &list);
        if (g.first)
            group_commit(j, &g);
        else
            list_roll(j, &list);
    }
}

// ---- sealing on request ----

// Lives on the stack of who waits; under the lock.
struct sealing {
    struct sealing *next;
    uint32_t number;
    bool done;
    enum result result;
    struct fault fault;
};

// An empty segment stays as it is.
static void
seal_one(struct journal *j, struct sealing *s)
{
    s->result = R_OK;
    if (j->header.number != s->number || j->end == LAYOUT_SEGMENT)
        return;
    if (journal_stopped(j))
        s->result = fault_set(&s->fault, FAULT_DISK, "journal: stopped after a disk error");
    else
        s->result = journal_roll(j, j->segments.end_seq, 0, &s->fault);
}

static void
seal_all(struct journal *j, struct sealing *list)
{
    for (struct sealing *s = list; s; s = s->next)
        seal_one(j, s);
    pthread_mutex_lock(&j->lock);
    for (struct sealing *s = list, *next; s; s = next) {
        next = s->next;
        s->done = true;
    }
    pthread_cond_broadcast(&j->done);
    pthread_mutex_unlock(&j->lock);
}

enum result
journal_seal(struct journal *j, uint32_t number, struct fault *f)
{
    struct sealing s = {.number = number};
    pthread_mutex_lock(&j->lock);
    if (j->stopped || j->closing || !j->running) {
        pthread_mutex_unlock(&j->lock);
        return fault_set(f, FAULT_DISK, "journal: stopped");
    }
    s.next = j->sealing;
    j->sealing = &s;
    pthread_cond_signal(&j->work);
    while (!s.done)
        pthread_cond_wait(&j->done, &j->lock);
    pthread_mutex_unlock(&j->lock);
    if (s.result != R_OK)
        *f = s.fault;
    return s.result;
}

// ---- the thread ----

// Under the lock; something is queued.
static void
gather(struct journal *j)
{
    struct gather *g = &j->queue.gather;
    if (gather_wait_us(g, j->queue.count, clock_mono_us()) == 0)
        return;
    j->queue.wake_at = g->wanted;
    while (j->queue.count < g->wanted && !j->sealing && !j->closing)
        if (!clock_cond_wait(&j->work, &j->lock, g->until_us))
            break;
    gather_waited(g, j->queue.count);
}

// Under the lock, which is let go meanwhile: all that is queued is one round.
static void
queue_commit(struct journal *j)
{
    unsigned count = j->queue.count;
    struct store_batch *list = j->queue.first;
    j->queue.first = NULL;
    j->queue.end = &j->queue.first;
    j->queue.count = 0;
    j->queue.wake_at = UINT_MAX;
    pthread_mutex_unlock(&j->lock);
    uint64_t since_us = clock_mono_us();
    list_commit(j, list);
    uint64_t now_us = clock_mono_us();
    pthread_mutex_lock(&j->lock);
    gather_round(&j->queue.gather, count, j->queue.count, now_us - since_us, now_us);
}

static void *
thread_main(void *arg)
{
    struct journal *j = arg;
    pthread_mutex_lock(&j->lock);
    while (j->queue.first || j->sealing || !j->closing) {
        struct sealing *sealing = j->sealing;
        if (!j->queue.first && !sealing) {
            j->queue.wake_at = 1;
            pthread_cond_wait(&j->work, &j->lock);
            continue;
        }
        j->sealing = NULL;
        if (j->queue.first) {
            if (!sealing)
                gather(j);
            queue_commit(j);
        }
        if (sealing) {
            pthread_mutex_unlock(&j->lock);
            seal_all(j, sealing);
            pthread_mutex_lock(&j->lock);
        }
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

void
journal_thread_start(struct journal *j)
{
    must(pthread_create(&j->thread, NULL, thread_main, j) == 0);
    j->running = true;
}

void
journal_thread_end(struct journal *j)
{
    if (!j->running)
        return;
    pthread_mutex_lock(&j->lock);
    j->closing = true;
    pthread_cond_signal(&j->work);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    j->running = false;
}

// ---- committing ----

static enum result
queue_put(struct journal *j, struct store_batch *b, struct fault *f)
{
    bool wake = false;
    pthread_mutex_lock(&j->lock);
    bool refused = j->stopped || j->closing || !j->running;
    if (!refused) {
        *j->queue.end = b;
        j->queue.end = &b->next;
        wake = ++j->queue.count >= j->queue.wake_at;
    }
    pthread_mutex_unlock(&j->lock);
    if (wake)
        pthread_cond_signal(&j->work);  // not under the lock, which the thread takes first
    return refused ? fault_set(f, FAULT_DISK, "journal: stopped") : R_OK;
}

static void
batch_wait(struct journal *j, struct store_batch *b)
{
    if (b->task) {
        while (!b->done)
            task_suspend();
        return;
    }
    pthread_mutex_lock(&j->lock);
    while (!b->done)
        pthread_cond_wait(&j->done, &j->lock);
    pthread_mutex_unlock(&j->lock);
}

enum result
journal_commit(struct journal *j, struct store_batch *b, struct fault *f)
{
    if (batch_seal(b, &j->v, f) != R_OK)
        return R_FAIL;
    b->next = NULL;
    b->done = b->failed = false;
    b->task = task_self();
    b->loop = b->task ? loop_self() : NULL;
    if (queue_put(j, b, f) != R_OK) {
        batch_unclaim(b);
        return R_FAIL;
    }
    batch_wait(j, b);
    if (!b->failed)
        return R_OK;
    *f = b->fault;
    if (!journal_stopped(j))
        batch_unclaim(b);
    return R_FAIL;
}
