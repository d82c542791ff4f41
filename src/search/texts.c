#include "search/query.h"

#include "base/limits.h"
#include "io/task.h"
#include "mime/header.h"

// The needles of one kind (BODY, TEXT; fuzzy ones apart) are looked for together; a HEADER key has a search of its own.
struct header_key {
    struct span name;
    struct mime_text_search *search;
    uint32_t slot;
    bool present;
    bool any;  // empty text: the field must only be there
};

// SUBJECT, FROM, TO, CC, BCC in a message whose summary has only the beginning of the field: the whole of it, as the summary
// would have it, is one stream.
struct field_key {
    const struct query *key;
    struct mime_text_search *search;
    struct buf subject;  // the last one so far
    bool wanted, any;    // any: there was such a field
};

struct needles {
    enum query_op op;
    bool fuzzy;
    struct mime_text_search *search;  // NULL when there are none
    uint32_t *slots;
    size_t n;
};
enum { KINDS = 4 };

struct query_texts {
    struct needles kinds[KINDS];
    struct header_key *headers;
    size_t header_count;
    struct field_key *fields;
    size_t field_count;
    bool *found;
    uint32_t slots;
};

static size_t
count(const struct query *q, enum query_op op)
{
    size_t n = q->op == op;
    for (const struct query *k = q->first; k; k = k->next)
        n += count(k, op);
    return n;
}

static void
collect(const struct query *q, enum query_op op, const struct query **out, size_t *n)
{
    if (q->op == op)
        out[(*n)++] = q;
    for (const struct query *k = q->first; k; k = k->next)
        collect(k, op, out, n);
}

static void
search_free(void *arg)
{
    struct mime_text_search *s = arg;
    mime_text_search_free(&s);
}

static struct mime_text_search *
search_new(struct arena *a, const struct span *needles, size_t n, enum collation collation)
{
    struct mime_text_search *s = mime_text_search_new(needles, n, collation);
    arena_on_end(a, search_free, s);
    return s;
}

static void
needles_init(struct needles *k, const struct query *q, struct arena *a)
{
    size_t n = count(q, k->op), have = 0;
    const struct query **keys = arena_array(a, n, sizeof *keys);
    struct span *texts = arena_array(a, n, sizeof *texts);
    collect(q, k->op, keys, &have);
    k->slots = arena_array(a, n, sizeof *k->slots);
    for (size_t i = 0; i < n; i++) {
        if (keys[i]->fuzzy != k->fuzzy)
            continue;
        texts[k->n] = keys[i]->text;
        k->slots[k->n++] = keys[i]->slot;
    }
    if (k->n > 0)
        k->search = search_new(a, texts, k->n, k->fuzzy ? COLLATION_FUZZY : q->collation);
}

static void
headers_init(struct query_texts *t, const struct query *q, struct arena *a)
{
    size_t n = count(q, QUERY_HEADER), have = 0;
    const struct query **keys = arena_array(a, n, sizeof *keys);
    collect(q, QUERY_HEADER, keys, &have);
    t->headers = arena_array(a, n, sizeof *t->headers);
    t->header_count = n;
    for (size_t i = 0; i < n; i++)
        t->headers[i] = (struct header_key){
            keys[i]->name, search_new(a, &keys[i]->said, 1, keys[i]->collation),
            keys[i]->slot, false, keys[i]->said.n == 0};
}

static void
subject_free(void *arg)
{
    buf_done(arg);
}

static void
fields_init(struct query_texts *t, const struct query *q, struct arena *a)
{
    size_t n = 0, have = 0;
    for (enum query_op op = QUERY_SUBJECT; op <= QUERY_BCC; op++)
        n += count(q, op);
    const struct query **keys = arena_array(a, n, sizeof *keys);
    for (enum query_op op = QUERY_SUBJECT; op <= QUERY_BCC; op++)
        collect(q, op, keys, &have);
    t->fields = arena_array(a, n, sizeof *t->fields);
    t->field_count = n;
    for (size_t i = 0; i < n; i++) {
        struct field_key *k = &t->fields[i];
        k->key = keys[i];
        k->search = search_new(a, &keys[i]->said, 1, keys[i]->collation);
        buf_init(&k->subject, (size_t)LIMIT_mime_header * 4);
        arena_on_end(a, subject_free, &k->subject);
    }
}

struct query_texts *
query_texts_new(const struct query *q, struct arena *a)
{
    size_t n = 0;
    for (enum query_op op = QUERY_SUBJECT; op <= QUERY_TEXT; op++)
        n += count(q, op);
    if (n == 0)
        return NULL;
    struct query_texts *t = ARENA_NEW(a, struct query_texts);
    t->slots = (uint32_t)n;
    t->found = arena_array(a, n, sizeof *t->found);
    for (unsigned i = 0; i < KINDS; i++) {
        t->kinds[i] =
            (struct needles){.op = i & 1 ? QUERY_BODY : QUERY_TEXT, .fuzzy = i & 2};
        needles_init(&t->kinds[i], q, a);
    }
    headers_init(t, q, a);
    fields_init(t, q, a);
    return t;
}

static void
field_begin(struct field_key *k, const struct query_message *m)
{
    k->wanted = query_field_cut(k->key->op, m);
    k->any = false;
    buf_reset(&k->subject);
    mime_text_reset(k->search);
    if (k->wanted)
        mime_streams_text_begin(mime_text_streams(k->search), MIME_ZONE_HEADER);
}

void
query_texts_begin(struct query_texts *t, const struct query_message *m)
{
    memset(t->found, 0, t->slots * sizeof *t->found);
    for (unsigned i = 0; i < KINDS; i++)
        if (t->kinds[i].search)
            mime_text_reset(t->kinds[i].search);
    for (size_t i = 0; i < t->header_count; i++) {
        mime_text_reset(t->headers[i].search);
        t->headers[i].present = false;
    }
    for (size_t i = 0; i < t->field_count; i++)
        field_begin(&t->fields[i], m);
}

// Not of HEADER keys, of which there may be thousands.
void
query_texts_keep(struct query_texts *t, bool keeps)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (t->kinds[i].search)
            mime_text_keep(t->kinds[i].search, keeps);
}

bool
query_texts_want_body(const struct query_texts *t)
{
    for (unsigned i = 0; i < KINDS; i++) {
        const struct needles *k = &t->kinds[i];
        if (k->search && (k->op == QUERY_BODY || !mime_text_found_all(k->search)))
            return true;
    }
    return false;
}

static void
field_value(struct field_key *k, struct span raw)
{
    struct mime_streams *streams = mime_text_streams(k->search);
    struct buf text;
    if (k->key->op == QUERY_SUBJECT) {
        buf_reset(&k->subject);
        mime_summary_value(&k->subject, true, raw);
        return;
    }
    buf_init(&text, (size_t)LIMIT_mime_header * 4);
    if (k->any)
        buf_put(&text, SPAN(", "));
    k->any = true;
    mime_summary_value(&text, false, raw);
    mime_streams_text_feed(streams, buf_span(&text));
    buf_done(&text);
}

static void
field_block(struct field_key *k, struct span block)
{
    struct mime_header h;
    struct mime_header_iter it = mime_header_begin(block);
    struct span name = query_field_name(k->key->op);
    while (k->wanted && mime_header_next(&it, &h) == R_OK)
        if (span_ieq(h.name, name))
            field_value(k, h.value);
}

static bool
field_found(struct field_key *k)
{
    struct mime_streams *streams = mime_text_streams(k->search);
    if (!k->wanted)
        return false;
    k->wanted = false;
    mime_streams_text_feed(streams, buf_span(&k->subject));
    mime_streams_text_end(streams);
    return mime_text_found(k->search, 0);
}

static void
header_block(struct header_key *k, struct span block)
{
    struct mime_header h;
    struct mime_header_iter it = mime_header_begin(block);
    bool may = k->any || mime_text_may_have(k->search, block);
    while (may && mime_header_next(&it, &h) == R_OK) {
        if (!span_ieq(h.name, k->name))
            continue;
        k->present = true;
        mime_text_value(k->search, h.value);
    }
}

// There may be thousands of keys, and of fields for each: others run in between.
static void
own_header(struct query_texts *t, struct span block)
{
    for (size_t i = 0; i < t->header_count; i++) {
        header_block(&t->headers[i], block);
        task_yield();
    }
    for (size_t i = 0; i < t->field_count; i++) {
        field_block(&t->fields[i], block);
        task_yield();
    }
}

// RFC 9051 section 6.4.4: BODY matches no header fields of the message and its parts, TEXT all of them.
void
query_texts_header(struct query_texts *t, struct span block, enum mime_zone zone)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (t->kinds[i].search &&
            (t->kinds[i].op == QUERY_TEXT || (zone & MIME_ZONES_BODY)))
            mime_text_header(t->kinds[i].search, block);
    if (zone == MIME_ZONE_HEADER)
        own_header(t, block);
}

void
query_texts_part_begin(struct query_texts *t, const struct mime_index_part *part)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (t->kinds[i].search)
            mime_text_begin(t->kinds[i].search, part);
}

void
query_texts_part_feed(struct query_texts *t, struct span raw)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (t->kinds[i].search)
            mime_text_feed(t->kinds[i].search, raw);
}

void
query_texts_part_end(struct query_texts *t)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (t->kinds[i].search)
            mime_text_end(t->kinds[i].search);
}

static void
search_file(struct mime_text_search *s, struct span text)
{
    struct mime_streams *streams = s ? mime_text_streams(s) : NULL;
    if (!streams)
        return;
    mime_streams_text_begin(streams, MIME_ZONE_FILE);
    mime_streams_text_feed(streams, text);
    mime_streams_text_end(streams);
}

void
query_texts_file(struct query_texts *t, struct span text)
{
    for (unsigned i = 0; i < KINDS; i++)
        search_file(t->kinds[i].search, text);
}

bool
query_texts_done(const struct query_texts *t)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (t->kinds[i].search && !mime_text_found_all(t->kinds[i].search))
            return false;
    return true;
}

static void
needles_found(const struct needles *k, bool *found)
{
    for (size_t i = 0; i < k->n; i++)
        found[k->slots[i]] = mime_text_found(k->search, i);
}

const bool *
query_texts_found(struct query_texts *t)
{
    for (unsigned i = 0; i < KINDS; i++)
        needles_found(&t->kinds[i], t->found);
    for (size_t i = 0; i < t->header_count; i++) {
        const struct header_key *h = &t->headers[i];
        t->found[h->slot] = h->present && (h->any || mime_text_found(h->search, 0));
    }
    for (size_t i = 0; i < t->field_count; i++)
        t->found[t->fields[i].key->slot] = field_found(&t->fields[i]);
    return t->found;
}
