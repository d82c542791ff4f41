#include "imap/appendlimit.h"

#include "base/limits.h"
#include "imap/ext.h"
#include "imap/status.h"

// RFC 7889 section 2 (a): the same limit for every mailbox, message_size_max, told in CAPABILITY and STATUS.

static _Atomic uint64_t limit = LIMIT_message_size;

void
imap_appendlimit_set(uint64_t octets)
{
    limit = octets;
}

static void
capability_put(struct buf *b)
{
    buf_printf(b, " APPENDLIMIT=%llu", (unsigned long long)limit);
}

static void
status_put(struct buf *b, const struct tree_entry *e)
{
    (void)e;
    buf_put_u64(b, limit);
}

static const struct imap_status_item item = {status_put};

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
