// RFC 10022: UIDBATCHES, UID ranges that cut the mailbox into batches of equal size, the newest first.
#include "imap/response.h"

#include "base/limits.h"
#include "wire/quote.h"

enum { BATCH = 64 };  // rows read at a time

struct batches {
    uint32_t size;         // messages of a batch
    uint32_t first, last;  // wanted, 1 is the newest
    uint32_t count;        // of the mailbox
    uint32_t *lowest;      // UIDs at the low end of batches first - 1 (if any) to last
};

static enum result
parse_batches(struct imap_command *c, struct batches *b, struct fault *f)
{
    struct parse *p = &c->parse;
    bool ranged = false;
    parse_sp(p);
    b->size = parse_nz_number(p);
    b->first = 1;
    b->last = UINT32_MAX;
    if (parse_try(p, ' ')) {
        ranged = true;
        b->first = parse_nz_number(p);
        parse_char(p, ':');
        b->last = parse_nz_number(p);
    }
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    if (b->first > b->last)
        return fault_set(f, FAULT_CLIENTBUG, "batches the wrong way round");
    if (b->size < LIMIT_uidbatch_min)
        return fault_set(f, FAULT_TOOFEW, "batches of %u", b->size);
    if (ranged && (uint64_t)(b->last - b->first + 1) * b->size > LIMIT_uidbatch_span)
        return fault_set(f, FAULT_TOOMANY, "batches of %u messages in all",
                         b->size * (b->last - b->first + 1));
    return R_OK;
}

// Sequence number at the low end of a batch.
static uint32_t
low_end(const struct batches *b, uint32_t exists, uint32_t batch)
{
    uint64_t from_top = (uint64_t)batch * b->size;
    return from_top >= exists ? 1 : (uint32_t)(exists - from_top + 1);
}

static enum result
find_ends(struct imap_command *c, struct batches *b, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message got[BATCH];
    struct seqset seqs;
    uint32_t exists = view_exists(c->session->view);
    uint32_t from = b->first > 1 ? b->first - 1 : 1, at = b->last;
    size_t n;
    enum result r;
    seqset_init(&seqs, c->arena);
    for (uint32_t i = b->last + 1; i > from; i--)
        seqset_add(&seqs, low_end(b, exists, i - 1));
    b->lowest = arena_array(c->arena, (size_t)b->last + 1, sizeof *b->lowest);
    if (view_cursor_init(&cursor, c->session->view, &seqs, false, f) != R_OK)
        return R_FAIL;
    while ((r = view_next(&cursor, got, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n; i++)
            b->lowest[at--] = got[i].row.uid;
    return r == R_NONE ? R_OK : R_FAIL;
}

// Ranges touch, so that each UID is in one of them, and the last one ends at 1.
static void
put_ranges(struct buf *line, const struct batches *b, uint32_t highest)
{
    for (uint32_t i = b->first; i <= b->last; i++) {
        uint32_t high = i == 1 ? highest : b->lowest[i - 1] - 1;
        buf_printf(line, "%c%u:%u", i == b->first ? ' ' : ',', high,
                   i == b->count ? 1 : b->lowest[i]);
    }
}

static enum result
run_batches(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    struct batches b = {0};
    uint32_t exists = view_exists(s->view), highest = 0;
    if (parse_batches(c, &b, f) != R_OK || view_star(s->view, true, &highest, f) != R_OK)
        return R_FAIL;
    b.count = (uint32_t)(((uint64_t)exists + b.size - 1) / b.size);
    if (b.last > b.count)
        b.last = b.count;
    bool any = b.first <= b.last;
    if (any && find_ends(c, &b, f) != R_OK)
        return R_FAIL;
    struct buf *line = imap_line(s);
    buf_put_str(line, "* UIDBATCHES (TAG ");
    quote_string(line, c->tag, false);
    buf_put_char(line, ')');
    if (any)
        put_ranges(line, &b, highest);
    imap_line_send(s);
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"UIDBATCHES", ARGS_OWN, IMAP_SELECTED, VERB_READS, RIGHT_READ, run_batches},
    {.name = NULL},
};

const struct imap_ext imap_ext_uidbatches = {
    .name = "uidbatches",
    .rfc = "RFC 10022",
    .capability = "UIDBATCHES",
    .verbs = verbs,
};
