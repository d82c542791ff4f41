#include "imap/context.h"

#include "base/limits.h"
#include "base/order.h"
#include "imap/language.h"
#include "imap/response.h"
#include "wire/quote.h"

// The ESEARCH answer of SEARCH and SORT (RFC 4731, RFC 5267 section 3), and SAVE (RFC 5182).

// The members first..last (1 is the first) of what is found, in the order of the answer.
struct slice {
    uint64_t first, last;
};

static uint64_t
found_size(const struct imap_search *s)
{
    return seqset_size(&s->uids);
}

static uint32_t
number_of(const struct imap_search *s, const struct imap_found *m)
{
    return s->c->uid ? m->uid : m->seq;
}

static const struct seqset *
found_set(const struct imap_search *s)
{
    return s->c->uid ? &s->uids : &s->seqs;
}

// ---- MIN and MAX: the first and the last one ----

static uint32_t
lowest(const struct imap_search *s)
{
    return s->order ? number_of(s, &s->order[0]) : found_set(s)->ranges[0].first;
}

static uint32_t
highest(const struct imap_search *s)
{
    const struct seqset *set = found_set(s);
    return s->order ? number_of(s, &s->order[found_size(s) - 1])
                    : set->ranges[set->count - 1].last;
}

// RFC 4731 section 3.2: with MIN or MAX alone, of those messages.
static uint64_t
modseq_of(const struct imap_search *s)
{
    bool min = s->returns & RETURN_MIN, max = s->returns & RETURN_MAX;
    if ((!min && !max) || (s->returns & (RETURN_ALL | RETURN_COUNT | RETURN_PARTIAL)))
        return s->modseq_highest;
    uint64_t first = s->order ? s->order[0].modseq : s->modseq_first;
    uint64_t last = s->order ? s->order[found_size(s) - 1].modseq : s->modseq_last;
    if (min && max)
        return first > last ? first : last;
    return min ? first : last;
}

// ---- many numbers; a long answer leaves in pieces ----

static void
leave(struct imap_session *s, struct buf *b)
{
    if (b->n > LIMIT_output_low)
        imap_line_flush(s);
}

void
imap_runs_end(struct imap_runs *r)
{
    if (r->some)
        buf_put_char(r->b, ',');
    buf_put_u64(r->b, r->run.first);
    if (r->run.last > r->run.first) {
        buf_put_char(r->b, ':');
        buf_put_u64(r->b, r->run.last);
    }
    r->some = true;
    leave(r->session, r->b);
}

void
imap_runs_add(struct imap_runs *r, uint32_t n)
{
    if (r->run.first > 0 && n == r->run.last + 1) {
        r->run.last = n;
        return;
    }
    if (r->run.first > 0)
        imap_runs_end(r);
    r->run = (struct seqset_range){n, n};
}

static void
put_set(const struct imap_search *s, struct buf *b, const struct seqset *set)
{
    struct imap_runs runs = {.session = s->c->session, .b = b};
    for (uint32_t i = 0; i < set->count; i++) {
        runs.run = set->ranges[i];
        imap_runs_end(&runs);
    }
}

static void
put_order(const struct imap_search *s, struct buf *b, struct slice part)
{
    struct imap_runs runs = {.session = s->c->session, .b = b};
    for (uint64_t i = part.first - 1; i < part.last; i++)
        imap_runs_add(&runs, number_of(s, &s->order[i]));
    imap_runs_end(&runs);
}

// ---- PARTIAL ----

static bool
partial_slice(const struct imap_search *s, struct slice *out)
{
    const struct imap_partial *p = &s->partial;
    uint64_t size = found_size(s);
    uint64_t last = p->last < size ? p->last : size;
    if (p->first > size)
        return false;
    *out = p->backwards ? (struct slice){size + 1 - last, size + 1 - p->first}
                        : (struct slice){p->first, last};
    return true;
}

static void
put_partial(struct imap_search *s, struct buf *b)
{
    struct slice slice;
    struct seqset part;
    buf_put(b, SPAN(" PARTIAL ("));
    buf_put(b, s->partial.text);
    buf_put_char(b, ' ');
    if (!partial_slice(s, &slice)) {
        buf_put(b, SPAN("NIL"));
    } else if (s->order) {
        put_order(s, b, slice);
    } else {
        imap_partial_of(&s->partial, found_set(s), s->arena, &part);
        put_set(s, b, &part);
    }
    buf_put_char(b, ')');
}

// ---- RELEVANCY (RFC 6203): of all, or of the page, in the order of the answer ----

static void
put_scores(struct imap_search *s, struct buf *b)
{
    struct slice slice = {1, found_size(s)};
    if ((s->returns & RETURN_PARTIAL) && !partial_slice(s, &slice))
        return;
    buf_put(b, SPAN(" RELEVANCY"));
    for (uint64_t i = slice.first - 1; i < slice.last; i++) {
        unsigned score =
            s->order ? imap_relevancy_of(s, s->order[i].uid) : s->scores.list[i].score;
        buf_printf(b, "%s%u", i < slice.first ? " (" : " ", score);
        leave(s->c->session, b);
    }
    buf_put_char(b, ')');
}

// ---- the line ----

static void
put_number(struct buf *b, const char *name, uint64_t n)
{
    buf_printf(b, " %s %llu", name, (unsigned long long)n);
}

static void
put_all(struct imap_search *s, struct buf *b)
{
    buf_put(b, SPAN(" ALL "));
    if (s->order)
        put_order(s, b, (struct slice){1, found_size(s)});
    else
        put_set(s, b, found_set(s));
}

static struct buf *
begin(struct imap_command *c, const struct imap_search_source *source)
{
    struct buf *b = imap_line(c->session);
    buf_put(b, SPAN("* ESEARCH (TAG "));
    quote_string(b, c->tag, false);
    if (source) {
        buf_put(b, SPAN(" MAILBOX "));
        imap_put_mailbox(c->session, b, source->name);
        put_number(b, "UIDVALIDITY", source->uidvalidity);
    }
    buf_put_str(b, c->uid ? ") UID" : ")");
    return b;
}

struct buf *
imap_esearch_begin(struct imap_command *c)
{
    return begin(c, NULL);
}

void
imap_esearch_put(struct imap_search *s, struct buf *b)
{
    uint64_t size = found_size(s);
    uint32_t wants = s->has_return ? s->returns : RETURN_ALL;
    if ((wants & RETURN_MIN) && size > 0)
        put_number(b, "MIN", lowest(s));
    if ((wants & RETURN_MAX) && size > 0)
        put_number(b, "MAX", highest(s));
    if ((wants & RETURN_ALL) && size > 0)
        put_all(s, b);
    if (wants & RETURN_PARTIAL)
        put_partial(s, b);
    if (wants & RETURN_COUNT)
        put_number(b, "COUNT", size);
    if ((wants & RETURN_RELEVANCY) && size > 0)
        put_scores(s, b);
    if (s->has_modseq && size > 0)
        put_number(b, "MODSEQ", modseq_of(s));
}

static void
put_esearch(struct imap_search *s)
{
    if (s->mailboxes.source && found_size(s) == 0)
        return;
    imap_esearch_put(s, begin(s->c, s->mailboxes.source));
    imap_line_send(s->c->session);
}

// ---- SAVE ----

// In rising order, so that each is added at the end.
static void
keep_order(const struct imap_search *s, struct seqset *kept, struct slice part)
{
    size_t n = 0;
    uint32_t *uids = arena_array(s->c->arena, part.last - part.first + 1, sizeof *uids);
    for (uint64_t i = part.first - 1; i < part.last; i++)
        uids[n++] = s->order[i].uid;
    qsort(uids, n, sizeof *uids, order_u32);
    for (size_t i = 0; i < n; i++)
        seqset_add(kept, uids[i]);
}

static void
keep_partial(const struct imap_search *s, struct seqset *kept)
{
    struct slice slice;
    if (!s->order)
        imap_partial_of(&s->partial, &s->uids, s->c->arena, kept);
    else if (partial_slice(s, &slice))
        keep_order(s, kept, slice);
}

// MIN, MAX and PARTIAL of what is found, which is something.
static void
keep_some(const struct imap_search *s, struct seqset *kept)
{
    const struct seqset *all = &s->uids;
    if (s->returns & RETURN_PARTIAL)
        keep_partial(s, kept);
    if (s->returns & RETURN_MIN)
        seqset_add(kept, s->order ? s->order[0].uid : all->ranges[0].first);
    if (s->returns & RETURN_MAX)
        seqset_add(kept, s->order ? s->order[found_size(s) - 1].uid
                                  : all->ranges[all->count - 1].last);
}

// RFC 5182 section 2.4, RFC 9394 section 3.2: with MIN, MAX or PARTIAL and nothing else, only those are saved.
static enum result
save(const struct imap_search *s, struct fault *f)
{
    struct seqset some;
    const struct seqset *kept = &s->uids;
    bool all = (s->returns & (RETURN_ALL | RETURN_COUNT)) ||
               !(s->returns & (RETURN_MIN | RETURN_MAX | RETURN_PARTIAL));
    if (!all && kept->count > 0) {
        seqset_init(&some, s->c->arena);
        keep_some(s, &some);
        kept = &some;
    }
    if (kept->count > LIMIT_saved_ranges)  // RFC 9051 section 6.4.4.3
        return fault_set(f, FAULT_NOTSAVED, "%u ranges found", kept->count);
    imap_saved_set(s->c->session, kept);
    return R_OK;
}

enum result
imap_search_answer(struct imap_search *s, enum result found, imap_search_plain_fn *plain,
                   struct fault *f)
{
    enum result r = found;
    if (r == R_OK && (s->returns & RETURN_SAVE))
        r = save(s, f);
    if (r == R_OK && !s->has_return && plain) {
        plain(s);
    } else if (r == R_OK && s->returns != RETURN_SAVE) {
        put_esearch(s);
        if ((s->returns & RETURN_UPDATE) && !s->mailboxes.elsewhere)
            imap_context_begin(s);
    } else if (r != R_OK && (s->returns & RETURN_SAVE) && !imap_fault_is_bad(f->kind)) {
        // RFC 9051 section 6.4.4.4: NO empties "$", BAD leaves it
        imap_saved_set(s->c->session, NULL);
    }
    return r;
}
