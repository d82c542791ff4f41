#include "imap/url.h"

#include "base/limits.h"
#include "imap/fetch_body.h"
#include "io/task.h"
#include "mime/header.h"

enum { PIECE = 65536 };

// Names that may not be read, that are not there, and that cannot be, are one.
static bool
names_nothing(enum fault_kind kind)
{
    return kind == FAULT_NONEXISTENT || kind == FAULT_NOPERM || kind == FAULT_CANNOT;
}

static enum result
open_mailbox(struct imap_session *s, const struct url *url, struct imap_url *u,
             struct fault *f)
{
    struct mailbox_ref ref;
    struct view_info info;
    if (!url->mailbox.p && !s->view)
        return R_NONE;
    if (!url->mailbox.p) {
        view_info(s->view, &info);
        ref =
            (struct mailbox_ref){s->user, view_account(s->view), info.mailbox, info.rights};
    } else if (mail_access(s->user, url->mailbox, RIGHT_READ, &ref, f) != R_OK) {
        return names_nothing(f->kind) ? R_NONE : R_FAIL;
    }
    if (!(ref.rights & RIGHT_READ))
        return R_NONE;
    u->mail = account_mail(ref.account);
    if (view_open(&ref, true, NULL, NULL, &u->view, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT ? R_NONE : R_FAIL;
    view_info(u->view, &info);
    return url->uidvalidity == 0 || url->uidvalidity == info.uidvalidity ? R_OK : R_NONE;
}

static enum result
find_message(const struct url *url, struct imap_url *u, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message m;
    struct seqset set;
    size_t n = 0;
    seqset_init(&set, u->arena);
    seqset_add(&set, url->uid);
    if (view_cursor_init(&cursor, u->view, &set, true, f) != R_OK ||
        view_next(&cursor, &m, 1, &n, f) == R_FAIL)
        return R_FAIL;
    if (n == 0)
        return R_NONE;
    u->row = m.row;
    u->size = m.row.size;
    return R_OK;
}

static enum result
choose_fields(const struct section *s, struct imap_url *u, struct fault *f)
{
    struct buf out;
    size_t n = u->size < LIMIT_mime_headers ? (size_t)u->size : LIMIT_mime_headers;
    char *block = arena_alloc(u->arena, n + 1);
    if (n > 0 && message_read(u->mail, &u->row, u->at, n, block, f) != R_OK)
        return R_FAIL;
    buf_init(&out, n + 16);
    mime_header_filter(&out, span_of(block, n), s->fields, s->field_count,
                       s->kind == SECTION_FIELDS_NOT);
    u->text = arena_dup(u->arena, buf_span(&out));
    buf_done(&out);
    u->in_memory = true;
    u->at = 0;
    u->size = u->text.n;
    return R_OK;
}

static enum result
find_section(const struct section *s, struct imap_url *u, struct fault *f)
{
    struct message_cache cache;
    struct mime_index_part part;
    struct mime_range range;
    if (s->kind == SECTION_ALL && s->part_count == 0)
        return R_OK;
    if (message_cache_load(u->mail, &u->row, u->arena, &cache, f) != R_OK)
        return R_FAIL;
    enum result r = mime_index_find(cache.index, s->parts, s->part_count, &part, f);
    if (r == R_OK)
        r = mime_index_section(&part, fetch_mime_section(s->kind), &range);
    if (r != R_OK)
        return r;
    if (range.at > u->size || range.size > u->size - range.at)
        return fault_set(f, FAULT_CORRUPTION, "a part beyond the end of its message");
    u->at = range.at;
    u->size = range.size;
    bool fields = s->kind == SECTION_FIELDS || s->kind == SECTION_FIELDS_NOT;
    return fields ? choose_fields(s, u, f) : R_OK;
}

// As <offset.count> of FETCH: what lies behind the end is empty.
static void
take_range(const struct url *url, struct imap_url *u)
{
    if (!url->has_partial)
        return;
    uint64_t skip = url->at < u->size ? url->at : u->size;
    u->at += skip;
    u->size -= skip;
    if (u->size > url->count)
        u->size = url->count;
}

static enum result
resolve(struct imap_session *s, struct span text, struct imap_url *u, struct fault *f)
{
    struct url url;
    enum result r;
    if (text.n > LIMIT_url || url_parse(text, u->arena, &url, f) != R_OK)
        return R_NONE;
    if ((r = open_mailbox(s, &url, u, f)) != R_OK ||
        (r = find_message(&url, u, f)) != R_OK ||
        (r = find_section(&url.section, u, f)) != R_OK)
        return r;
    take_range(&url, u);
    return R_OK;
}

enum result
imap_url_open(struct imap_session *s, struct span text, struct imap_url *out,
              struct fault *f)
{
    *out = (struct imap_url){.arena = arena_new()};
    enum result r = resolve(s, text, out, f);
    if (r != R_OK)
        imap_url_close(out);
    return r;
}

enum result
imap_url_read(struct imap_url *u, struct span *out, struct fault *f)
{
    size_t n = u->size < PIECE ? (size_t)u->size : PIECE;
    if (n == 0)
        return R_NONE;
    if (u->in_memory) {
        *out = span_slice(u->text, (size_t)u->at, (size_t)u->at + n);
    } else {
        if (!u->text.p)
            u->text = span_of(arena_alloc(u->arena, PIECE), PIECE);
        if (message_read(u->mail, &u->row, u->at, n, (char *)u->text.p, f) != R_OK)
            return R_FAIL;
        *out = span_of(u->text.p, n);
        task_yield();
    }
    u->at += n;
    u->size -= n;
    return R_OK;
}

void
imap_url_close(struct imap_url *u)
{
    view_close(&u->view);
    arena_free(&u->arena);
}
