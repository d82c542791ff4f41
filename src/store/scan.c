#include "store/journal_inside.h"

#include "base/limits.h"

#include <fcntl.h>
#include <stdarg.h>

// A scan under way.
struct scan {
    struct journal *j;
    const struct journal_scan *s;
    struct walk w;
    struct buf plain;  // decoded metadata
    struct fault *f;
};

// Tells damage and goes on, or fails.
static enum result PRINTF_LIKE(2, 3) damaged(struct scan *c, const char *fmt, ...)
{
    char line[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (!c->s->damage)
        return fault_set(c->f, FAULT_CORRUPTION, "journal: %s", line);
    c->s->damage(line, c->s->arg);
    return R_OK;
}

static enum result
meta_decode(struct scan *c, const struct record_header *h, struct span stored,
            struct span *out)
{
    const struct codec *codec = codec_find(h->codec);
    struct codec_context ctx = {.key_id = h->key_id, .a = h->meta_nonce, .b = 0};
    if (codec->overhead == 0) {
        *out = stored;
        return R_OK;
    }
    buf_reset(&c->plain);
    char *room = buf_reserve(&c->plain, h->meta_plain);
    if (!room || codec->decode(&ctx, stored, room) != R_OK)
        return R_NONE;
    *out = span_of(room, h->meta_plain);
    return R_OK;
}

static enum result
external_check(struct scan *c, const struct record_header *h)
{
    struct handle *body = NULL;
    struct fault why;
    enum result r = journal_body_pin(c->j, h->body_id, false, &body, &why);
    if (r == R_FAIL)
        return damaged(c, "record %llu: %.120s", (unsigned long long)h->seq, why.why);
    r = body->body.plain == h->body_plain
            ? walk_frames(body->fd, LAYOUT_BODY, &body->body, c->f)
            : R_NONE;
    handle_unpin(&c->j->segments.handles, &body);
    return r;
}

static enum result
body_check(struct scan *c, const struct record_header *h)
{
    enum result r =
        h->flags & RECORD_BODY_EXTERNAL ? external_check(c, h) : walk_body(&c->w, h, c->f);
    if (r == R_NONE)
        return damaged(c, "the body of record %llu in segment %u is damaged",
                       (unsigned long long)h->seq, h->segment);
    return r;
}

static enum result
record_tell(struct scan *c, const struct record_header *h)
{
    struct journal_record r = {.header = *h,
                               .place = {h->seq, (uint64_t)h->segment << 32 | h->recno}};
    enum result result = R_OK;
    struct span stored;
    if (!c->s->headers_only) {
        result = walk_meta(&c->w, h, &stored, c->f);
        if (result == R_OK)
            result = meta_decode(c, h, stored, &r.meta);
    }
    if (result == R_NONE)
        return damaged(c, "the metadata of record %llu in segment %u is damaged",
                       (unsigned long long)h->seq, h->segment);
    if (result == R_OK)
        result = c->s->record(&r, c->s->arg, c->f);
    if (result == R_OK && c->s->bodies && h->body_plain > 0)
        result = body_check(c, h);
    return result;
}

// The walk met no valid record: finds the next one behind, tells what is missing.
static enum result
skip_damage(struct scan *c, uint64_t stop)
{
    struct record_header h;
    uint64_t bad = c->w.offset, first = c->w.seq, at;
    enum result r = c->s->damage ? walk_find(&c->w, bad + 1, first, &at, &h, c->f) : R_NONE;
    if (r == R_FAIL)
        return R_FAIL;
    uint64_t next = r == R_OK && h.seq < stop ? h.seq : stop;
    walk_seek(&c->w, next < stop ? at : bad, next);
    return damaged(c, "segment %u is damaged at octet %llu: records %llu to %llu are lost",
                   c->w.segment.number, (unsigned long long)bad, (unsigned long long)first,
                   (unsigned long long)(next - 1));
}

static enum result
records_walk(struct scan *c, uint64_t from, uint64_t stop)
{
    while (c->w.seq < stop) {
        struct record_header h;
        enum result r = walk_next(&c->w, &h, c->f);
        if (r == R_NONE)
            r = skip_damage(c, stop);
        else if (r == R_OK && h.seq >= from)
            r = record_tell(c, &h);
        if (r != R_OK)
            return r;
    }
    return R_OK;
}

// A table is never synced, so a power cut may leave anything in it: where no such record is, the walk begins at the
// segment's start.
static enum result
offset_check(struct scan *c, uint64_t offset, uint64_t seq, uint64_t first_seq)
{
    struct record_header h;
    enum result r = walk_next(&c->w, &h, c->f);
    if (r == R_OK)
        walk_seek(&c->w, offset, seq);
    else if (r == R_NONE)
        walk_seek(&c->w, LAYOUT_SEGMENT, first_seq);
    return r == R_FAIL ? R_FAIL : R_OK;
}

// Opens the segment and puts the walk at the record with sequence `from`, or before it.
static enum result
segment_begin(struct scan *c, uint32_t number, uint64_t from, struct handle **h_out)
{
    struct segments *s = &c->j->segments;
    struct journal_segment g = journal_segment_get(c->j, number);
    uint64_t offset = LAYOUT_SEGMENT, size = 0;
    struct fault why;
    enum result r = R_NONE;
    if (from > g.first_seq)
        r = segments_locate(s, (uint64_t)number << 32 | (from - g.first_seq), false, h_out,
                            &offset, &why);
    else
        from = g.first_seq;
    if (r != R_OK) {  // at its start, or its table cannot be made
        from = g.first_seq;
        offset = LAYOUT_SEGMENT;
        r = segment_open(s, number, O_RDONLY, h_out, c->f);
    }
    if (r == R_OK)
        r = disk_size((*h_out)->fd, &size, c->f);
    if (r != R_OK)
        return r;
    walk_init(&c->w, (*h_out)->fd, size, &(*h_out)->segment);
    walk_seek(&c->w, offset, from);
    r = offset == LAYOUT_SEGMENT ? R_OK : offset_check(c, offset, from, g.first_seq);
    if (r != R_OK)
        walk_done(&c->w);
    return r;
}

static enum result
segment_scan(struct scan *c, uint32_t number, uint64_t from, uint64_t to)
{
    struct handle *h = NULL;
    uint64_t stop = segments_stop(&c->j->segments, number);
    enum result r = segment_begin(c, number, from, &h);
    if (r == R_OK) {
        r = records_walk(c, from, stop < to ? stop : to);
        walk_done(&c->w);
    }
    handle_unpin(&c->j->segments.handles, &h);
    return r;
}

enum result
journal_scan(struct journal *j, const struct journal_scan *s, struct fault *f)
{
    struct scan c = {.j = j, .s = s, .f = f};
    uint64_t end = journal_end(j), to = s->to > 0 && s->to < end ? s->to : end;
    uint64_t from = s->from > 0 ? s->from : 1;
    enum result r = R_OK;
    buf_init(&c.plain, LIMIT_record_meta);
    for (uint32_t n = segments_find(&j->segments, from); r == R_OK && from < to; n++) {
        r = segment_scan(&c, n, from, to);
        from = segments_stop(&j->segments, n);
    }
    buf_done(&c.plain);
    return r;
}
