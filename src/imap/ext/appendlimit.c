#include "imap/appendlimit.h"

#include "base/limits.h"
#include "imap/ext.h"
#include "imap/status.h"
#include "mail/append_limit.h"

// RFC 7889: the limit of every mailbox is message_size_max, told in CAPABILITY; where an administrator gave a mailbox its own,
// only that there are limits is told there, and STATUS has the mailbox's.

static _Atomic uint64_t limit = LIMIT_message_size;

void
imap_appendlimit_set(uint64_t octets)
{
    limit = octets;
}

// With what `user set` says of one.
static uint64_t
limit_of(const struct mail_user *u)
{
    uint64_t own = u ? mail_user_size_max(u) : UINT64_MAX, all = limit;
    return own < all ? own : all;
}

uint64_t
imap_appendlimit_of(const struct mailbox_ref *ref)
{
    uint64_t own = append_limit_get(ref), all = limit_of(ref->user);
    return own < all ? own : all;
}

static void
capability_put(const struct imap_session *s, struct buf *b)
{
    if (s && append_limit_any(s->user))
        buf_put_str(b, " APPENDLIMIT");
    else
        buf_printf(b, " APPENDLIMIT=%llu",
                   (unsigned long long)limit_of(s ? s->user : NULL));
}

static enum result
status_find(struct mail_user *u, struct tree_entry *e, struct fault *f)
{
    struct mailbox_ref ref;
    if (mail_access(u, e->name, RIGHT_READ, &ref, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT || f->kind == FAULT_NOPERM ? R_NONE : R_FAIL;
    e->append_limit = imap_appendlimit_of(&ref);
    return R_OK;
}

static void
status_put(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->append_limit);
}

static const struct imap_status_item item = {.put = status_put, .find = status_find};

static const struct imap_word words[] = {
    {SLOT_STATUS, "APPENDLIMIT", 0, {.status = &item}},
    {0},
};

const struct imap_ext imap_ext_appendlimit = {
    .name = "appendlimit",
    .rfc = "RFC 7889",
    .capability_put = capability_put,
    .words = words,
};
