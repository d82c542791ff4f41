#include "search/query.h"

#include "base/limits.h"
#include "wire/date.h"

// ---- preparing ----

static struct span
folded(struct arena *a, const struct query *q)
{
    struct buf b;
    buf_init(&b, LIMIT_record_meta);
    mime_fold_as(&b, q->collation, q->text);
    struct span s = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return s;
}

struct span
query_field_name(enum query_op op)
{
    static const char *const fields[] = {
        [QUERY_SUBJECT] = "Subject", [QUERY_FROM] = "From", [QUERY_TO] = "To",
        [QUERY_CC] = "Cc",           [QUERY_BCC] = "Bcc",
    };
    return span_str(fields[op]);
}

// The summary has each run of white space in a subject as one space (RFC 5256 section 2.1).
static bool
asks_white_space(const struct query *q)
{
    return q->op == QUERY_SUBJECT && (span_find(q->text, SPAN("  ")) < q->text.n ||
                                      span_find_char(q->text, '\t') < q->text.n);
}

unsigned
query_field_zone(enum query_op op)
{
    return (unsigned)MIME_ZONE_SUBJECT << (op - QUERY_SUBJECT);
}

// Every message that has the field matches the empty string: that is a question to its header.
static void
ask_header(struct query *q)
{
    q->name = query_field_name(q->op);
    q->op = QUERY_HEADER;
}

static void
prepare(struct query *q, enum collation collation, struct arena *a, uint32_t *slots)
{
    q->collation = q->fuzzy ? COLLATION_FUZZY : collation;
    q->said = q->text;
    if (q->op >= QUERY_SUBJECT && q->op <= QUERY_BCC &&
        (q->text.n == 0 || asks_white_space(q)))
        ask_header(q);
    if (q->op == QUERY_HEADER)
        q->number = mime_summary_row(q->name);
    if (q->op >= QUERY_ATTACHMENT && q->op <= QUERY_HEADER) {
        q->text = folded(a, q);
        q->needle = mime_needle_of(q->text, q->collation);
    }
    if (q->op >= QUERY_SUBJECT)
        q->slot = (*slots)++;
    for (struct query *k = q->first; k; k = k->next)
        prepare(k, collation, a, slots);
}

void
query_prepare(struct query *q, enum collation collation, struct arena *a)
{
    uint32_t slots = 0;
    prepare(q, collation, a, &slots);
}

static uint32_t
count_slots(const struct query *q)
{
    uint32_t n = q->op >= QUERY_SUBJECT;
    for (const struct query *k = q->first; k; k = k->next)
        n += count_slots(k);
    return n;
}

size_t
query_size(const struct query *q)
{
    size_t n = 1;
    for (const struct query *k = q->first; k; k = k->next)
        n += query_size(k);
    return n;
}

static unsigned
zones_of(enum query_op op)
{
    if (op <= QUERY_BCC)
        return query_field_zone(op);
    return op == QUERY_HEADER ? MIME_ZONE_HEADER
           : op == QUERY_BODY ? MIME_ZONES_BODY
                              : MIME_ZONES_TEXT;
}

// The index is folded by i;unicode-casemap. HEADER with an empty text asks for the field: its name is in the text of every
// such field.
static struct span
needle_of(const struct query *q, struct arena *a)
{
    struct buf text, folded;
    buf_init(&text, LIMIT_record_meta);
    buf_init(&folded, LIMIT_record_meta);
    buf_put(&text, q->said);
    if (q->op == QUERY_HEADER && q->said.n == 0 && !q->fuzzy) {
        buf_put(&text, q->name);
        buf_put_char(&text, ':');
    }
    mime_fold_as(&folded, q->fuzzy ? COLLATION_FUZZY : COLLATION_CASEMAP, buf_span(&text));
    struct span needle = arena_dup(a, buf_span(&folded));
    buf_done(&text);
    buf_done(&folded);
    return needle;
}

static void
gather_lookups(const struct query *q, struct arena *a, struct text_lookup *out)
{
    if (q->op >= QUERY_SUBJECT)
        out[q->slot] = (struct text_lookup){needle_of(q, a), zones_of(q->op), q->fuzzy};
    for (const struct query *k = q->first; k; k = k->next)
        gather_lookups(k, a, out);
}

struct text_lookup *
query_lookups(const struct query *q, struct arena *a, size_t *n_out)
{
    *n_out = count_slots(q);
    if (*n_out == 0)
        return NULL;
    struct text_lookup *out = arena_array(a, *n_out, sizeof *out);
    gather_lookups(q, a, out);
    return out;
}

static void
gather_flags(const struct query *q, uint16_t *with, uint16_t *without)
{
    if (q->op == QUERY_FLAG)
        *with |= (uint16_t)q->number;
    else if (q->op == QUERY_NOT && q->first->op == QUERY_FLAG &&
             (q->first->number & (q->first->number - 1)) == 0)
        *without |= (uint16_t)q->first->number;
    for (const struct query *k = q->op == QUERY_AND ? q->first : NULL; k; k = k->next)
        gather_flags(k, with, without);
}

void
query_flags(const struct query *q, uint16_t *with_out, uint16_t *without_out)
{
    *with_out = *without_out = 0;
    gather_flags(q, with_out, without_out);
}

bool
query_by_cache(const struct query *q)
{
    bool any = q->op >= QUERY_SENT_BEFORE && q->op <= QUERY_HEADER;
    for (const struct query *k = q->first; k && !any; k = k->next)
        any = query_by_cache(k);
    return any;
}

// ---- matching ----

static enum query_answer
answer(bool yes)
{
    return yes ? QUERY_YES : QUERY_NO;
}

static enum query_answer
match_day(const struct query *q, enum query_op before, int32_t day)
{
    int32_t want = (int32_t)q->number;
    if (q->op == before)
        return answer(day < want);
    return answer(q->op == before + 1 ? day == want : day >= want);
}

static enum query_answer
match_sent(const struct query *q, const struct query_message *m)
{
    const struct mime_summary *s = m->summary;
    if (m->row->sent == SENT_NONE)
        return QUERY_NO;
    if (m->row->sent != SENT_UNKNOWN)
        return match_day(q, QUERY_SENT_BEFORE, m->row->sent - SENT_DAY);
    if (!s)
        return QUERY_UNKNOWN;
    return s->has_date ? match_day(q, QUERY_SENT_BEFORE, s->date.local_day) : QUERY_NO;
}

static struct span
summary_field(enum query_op op, const struct mime_summary *s)
{
    switch (op) {
    case QUERY_SUBJECT:
        return s->subject;
    case QUERY_FROM:
        return s->from;
    case QUERY_TO:
        return s->to;
    case QUERY_CC:
        return s->cc;
    default:
        return s->bcc;
    }
}

// A header that is longer than what is kept of it may have more fields.
static bool
header_cut(const struct query_message *m)
{
    struct mime_index_part root;
    struct fault damaged;
    return m->row->size > LIMIT_mime_headers &&
           (mime_index_find(m->parts, NULL, 0, &root, &damaged) != R_OK ||
            root.header.size > LIMIT_mime_headers);
}

bool
query_field_cut(enum query_op op, const struct query_message *m)
{
    return mime_summary_cut(summary_field(op, m->summary)) || header_cut(m);
}

static enum query_answer
match_field(const struct query *q, const struct query_message *m)
{
    if (!m->summary)
        return QUERY_UNKNOWN;
    bool hit = mime_needle_in(&q->needle, summary_field(q->op, m->summary));
    if (hit || !query_field_cut(q->op, m))
        return answer(hit);
    return m->found ? answer(m->found[q->slot]) : QUERY_UNKNOWN;
}

// Of most fields that are asked for the summary knows all there is.
static enum query_answer
match_header(const struct query *q, const struct query_message *m)
{
    struct buf text;
    if (m->found)
        return answer(m->found[q->slot]);
    if (!m->summary)
        return QUERY_UNKNOWN;
    buf_init(&text, LIMIT_record_meta);
    enum mime_summary_answer said = mime_summary_header(m->summary, q->number, &text);
    bool hit = said == MIME_SUMMARY_TEXT &&
               (q->text.n == 0 || mime_needle_in(&q->needle, buf_span(&text)));
    buf_done(&text);
    return said == MIME_SUMMARY_UNSURE ? QUERY_UNKNOWN : answer(hit);
}

static bool
names_file(const struct mime_index_part *part, const struct query *q)
{
    return (part->attachment || part->name.n > 0) &&
           (q->text.n == 0 || mime_needle_in(&q->needle, part->name));
}

static enum query_answer
match_attachment(const struct query *q, const struct query_message *m)
{
    struct mime_index_iter it;
    struct mime_index_part part;
    struct fault damaged;
    bool hit = false;
    if (!m->parts.p)
        return QUERY_UNKNOWN;
    enum result r = mime_index_begin(&it, m->parts, &damaged);
    while (r == R_OK && !hit && (r = mime_index_next(&it, &part, &damaged)) == R_OK)
        hit = names_file(&part, q);
    return answer(hit);
}

static enum query_answer
match_row(const struct query *q, const struct query_message *m)
{
    struct date_time t = {m->row->internal_date, m->row->zone_min};
    switch (q->op) {
    case QUERY_ALL:
        return QUERY_YES;
    case QUERY_FLAG:
        return answer((m->row->flags & q->number) == q->number);
    case QUERY_KEYWORD:
        return answer(m->has_keyword(m->arg, m->row->keywords, q->text));
    case QUERY_RECENT:
        return answer(m->recent);
    case QUERY_SEQS:
        return answer(seqset_contains(q->set, m->seq));
    case QUERY_UIDS:
        return answer(seqset_contains(q->set, m->row->uid));
    case QUERY_LARGER:
        return answer(m->row->size > q->number);
    case QUERY_SMALLER:
        return answer(m->row->size < q->number);
    case QUERY_MODSEQ:
        return answer(m->row->modseq >= q->number);
    case QUERY_EMAILID:
        return answer(m->row->emailid == q->number);
    case QUERY_THREADID:
        return answer(m->row->threadid == q->number);
    case QUERY_OLDER:
        return answer(m->row->internal_date <= (int64_t)q->number);
    case QUERY_YOUNGER:
        return answer(m->row->internal_date >= (int64_t)q->number);
    case QUERY_SAVED_BEFORE:
    case QUERY_SAVED_ON:
    case QUERY_SAVED_SINCE:
        return match_day(q, QUERY_SAVED_BEFORE,
                         date_local_day((struct date_time){m->row->save_date, 0}));
    default:
        return match_day(q, QUERY_DATE_BEFORE, date_local_day(t));
    }
}

// Stops at the first operand that decides; an unknown one leaves the answer open unless another decides.
static enum query_answer
match_all(const struct query *q, const struct query_message *m, enum query_answer decisive)
{
    enum query_answer open = decisive == QUERY_NO ? QUERY_YES : QUERY_NO;
    for (const struct query *k = q->first; k; k = k->next) {
        enum query_answer r = query_match(k, m);
        if (r == decisive)
            return r;
        if (r == QUERY_UNKNOWN)
            open = r;
    }
    return open;
}

static enum query_answer
match_not(const struct query *q, const struct query_message *m)
{
    enum query_answer r = query_match(q->first, m);
    return r == QUERY_UNKNOWN ? r : answer(r == QUERY_NO);
}

// Of a field that is named (HEADER) the index says only whether the text is in any field. What compares as equal by another
// collation does so by i;unicode-casemap, but not the other way round; fuzzy texts are asked for by their own fold.
static enum query_answer
match_indexed(const struct query *q, const struct query_message *m)
{
    if (q->op < QUERY_SUBJECT || !m->indexed)
        return QUERY_UNKNOWN;
    enum text_answer said = m->indexed[q->slot];
    bool same = q->collation == COLLATION_CASEMAP || q->collation == COLLATION_FUZZY;
    if (said == TEXT_YES && q->op != QUERY_HEADER && same)
        return QUERY_YES;
    return said == TEXT_NO ? QUERY_NO : QUERY_UNKNOWN;
}

enum query_answer
query_match(const struct query *q, const struct query_message *m)
{
    enum query_answer said = match_indexed(q, m);
    if (said != QUERY_UNKNOWN)
        return said;
    switch (q->op) {
    case QUERY_AND:
        return match_all(q, m, QUERY_NO);
    case QUERY_OR:
        return match_all(q, m, QUERY_YES);
    case QUERY_NOT:
        return match_not(q, m);
    case QUERY_HEADER:
        return match_header(q, m);
    case QUERY_BODY:
    case QUERY_TEXT:
        return m->found ? answer(m->found[q->slot]) : QUERY_UNKNOWN;
    case QUERY_SENT_BEFORE:
    case QUERY_SENT_ON:
    case QUERY_SENT_SINCE:
        return match_sent(q, m);
    case QUERY_ATTACHMENT:
        return match_attachment(q, m);
    default:
        return q->op >= QUERY_SUBJECT ? match_field(q, m) : match_row(q, m);
    }
}
