#include "store/journal_inside.h"

#include "base/clock.h"

#include <unistd.h>

enum { SEGMENT_SIZE = 64 << 20 };

struct volume *
journal_volume(struct journal *j)
{
    return &j->v;
}

static struct journal *
journal_new(const struct journal_options *o)
{
    struct journal *j = calloc(1, sizeof *j);
    must(j != NULL);
    j->segment_size = o->segment_size > 0 ? o->segment_size : SEGMENT_SIZE;
    j->inspect = o->inspect;
    j->on_durable = o->on_durable;
    j->arg = o->arg;
    j->fd = -1;
    j->queue.end = &j->queue.first;
    must(pthread_mutex_init(&j->lock, NULL) == 0);
    clock_cond_init(&j->work);
    must(pthread_cond_init(&j->done, NULL) == 0);
    segments_init(&j->segments, &j->v);
    return j;
}

enum result
journal_open(const struct journal_options *o, struct journal **j_out,
             struct journal_recovery *r_out, struct fault *f)
{
    struct journal_recovery found = {0};
    struct journal *j = journal_new(o);
    enum result r = volume_open(&j->v, o->path, o->codec, o->pool, f);
    j->v.compress = o->compress;
    j->v.compressed = o->compress || o->compressed;
    if (r == R_OK)
        r = journal_recover(j, o->known_seq, &found, f);
    if (r == R_OK && !j->inspect)
        r = journal_sweep(j, f);
    if (r != R_OK) {
        journal_close(&j);
        return R_FAIL;
    }
    if (!j->inspect)
        journal_thread_start(j);
    *r_out = found;
    *j_out = j;
    return R_OK;
}

void
journal_close(struct journal **jp)
{
    struct journal *j = *jp;
    if (!j)
        return;
    journal_thread_end(j);
    segments_done(&j->segments);
    volume_close(&j->v);
    if (j->fd >= 0)
        close(j->fd);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->work);
    pthread_cond_destroy(&j->done);
    free(j);
    *jp = NULL;
}

bool
journal_stopped(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool stopped = j->stopped;
    pthread_mutex_unlock(&j->lock);
    return stopped;
}

void
journal_uuid(const struct journal *j, uint8_t out[16])
{
    memcpy(out, j->uuid, sizeof j->uuid);
}

uint64_t
journal_end(struct journal *j)
{
    pthread_mutex_lock(&j->segments.lock);
    uint64_t end = j->segments.end_seq;
    pthread_mutex_unlock(&j->segments.lock);
    return end;
}

uint32_t
journal_segment_count(struct journal *j)
{
    pthread_mutex_lock(&j->segments.lock);
    uint32_t count = j->segments.count;
    pthread_mutex_unlock(&j->segments.lock);
    return count;
}

// Octets of a segment's file that hold records.
static uint64_t
octets_of(struct journal *j, uint32_t number)
{
    struct handle *h = NULL;
    struct fault ignored;
    if (segments_pin(&j->segments, number, false, &h, &ignored) != R_OK)
        return 0;
    uint64_t size = h->size;
    handle_unpin(&j->segments.handles, &h);
    return size;
}

struct journal_segment
journal_segment_get(struct journal *j, uint32_t number)
{
    struct segments *s = &j->segments;
    struct journal_segment g = {.number = number};
    pthread_mutex_lock(&s->lock);
    must(number >= 1 && number <= s->count);
    g.sealed = number < s->count;
    g.first_seq = s->first_seqs[number - 1];
    g.records = (g.sealed ? s->first_seqs[number] : s->end_seq) - g.first_seq;
    g.octets = s->end_offset;
    pthread_mutex_unlock(&s->lock);
    if (g.sealed)
        g.octets = octets_of(j, number);
    return g;
}

void
journal_stats_get(struct journal *j, struct journal_stats *out)
{
    pthread_mutex_lock(&j->lock);
    *out = j->stats;
    pthread_mutex_unlock(&j->lock);
    out->segments = journal_segment_count(j);
}
