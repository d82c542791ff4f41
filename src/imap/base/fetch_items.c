#include "imap/fetch.h"
#include "imap/fetch_body.h"

#include "base/limits.h"
#include "wire/quote.h"

// FETCH items that are answered from the row and the cache (RFC 9051 section 7.5.2), and the table of all base items.

// The keyword names of a set, rendered once: "$Forwarded Work".
static enum result
keyword_text(struct imap_fetch_run *run, uint32_t set, struct span *out, struct fault *f)
{
    struct span *names;
    size_t n;
    struct buf *b;
    if (set >= run->flag_text_count) {
        size_t count = set * (size_t)2 + 16;
        run->flag_texts = realloc(run->flag_texts, count * sizeof *run->flag_texts);
        must(run->flag_texts != NULL);
        for (size_t i = run->flag_text_count; i < count; i++)
            buf_init(&run->flag_texts[i], LIMIT_command);
        run->flag_text_count = count;
    }
    b = &run->flag_texts[set];
    if (b->n == 0) {
        if (view_keywords(run->session->view, set, run->c->arena, &names, &n, f) != R_OK)
            return R_FAIL;
        for (size_t i = 0; i < n; i++) {
            if (i > 0)
                buf_put_char(b, ' ');
            buf_put(b, names[i]);
        }
    }
    *out = buf_span(b);
    return R_OK;
}

static void
put_flag(struct buf *b, size_t open, struct span name)
{
    if (b->n > open)
        buf_put_char(b, ' ');
    buf_put(b, name);
}

enum result
imap_fetch_put_flags(struct imap_fetch_run *run, struct fault *f)
{
    static const struct {
        uint16_t flag;
        struct span name;
    } names[] = {
        {FLAG_ANSWERED, {"\\Answered", 9}}, {FLAG_FLAGGED, {"\\Flagged", 8}},
        {FLAG_DELETED, {"\\Deleted", 8}},   {FLAG_SEEN, {"\\Seen", 5}},
        {FLAG_DRAFT, {"\\Draft", 6}},
    };
    const struct view_message *m = run->message;
    struct span keywords = SPAN_NONE;
    if (m->row.keywords != 0 && keyword_text(run, m->row.keywords, &keywords, f) != R_OK)
        return R_FAIL;
    buf_put(run->line, SPAN("FLAGS ("));
    size_t open = run->line->n;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (m->row.flags & names[i].flag)
            put_flag(run->line, open, names[i].name);
    if (m->recent && !imap_enabled(run->session, ENABLE_REV2))
        put_flag(run->line, open, SPAN("\\Recent"));
    if (keywords.n > 0)
        put_flag(run->line, open, keywords);
    buf_put_char(run->line, ')');
    return R_OK;
}

static enum result
put_flags(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    return imap_fetch_put_flags(run, f);
}

static enum result
put_uid(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("UID "));
    buf_put_u64(run->line, run->message->row.uid);
    return R_OK;
}

static enum result
put_size(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("RFC822.SIZE "));
    buf_put_u64(run->line, run->message->row.size);
    return R_OK;
}

static enum result
put_internaldate(struct imap_fetch_run *run, const struct imap_fetch_want *w,
                 struct fault *f)
{
    struct date_time t = {run->message->row.internal_date, run->message->row.zone_min};
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("INTERNALDATE \""));
    date_time_print(run->line, t);
    buf_put_char(run->line, '"');
    return R_OK;
}

static enum result
put_envelope(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("ENVELOPE "));
    buf_put(run->line, run->cache.envelope);
    return R_OK;
}

static enum result
put_bodystructure(struct imap_fetch_run *run, const struct imap_fetch_want *w,
                  struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("BODYSTRUCTURE "));
    buf_put(run->line, run->cache.bodystructure);
    return R_OK;
}

static const struct imap_fetch_item item_flags = {0, NULL, put_flags};
static const struct imap_fetch_item item_uid = {0, NULL, put_uid};
static const struct imap_fetch_item item_size = {0, NULL, put_size};
static const struct imap_fetch_item item_internaldate = {0, NULL, put_internaldate};
static const struct imap_fetch_item item_envelope = {FETCH_CACHE, NULL, put_envelope};
static const struct imap_fetch_item item_bodystructure = {FETCH_CACHE, NULL,
                                                          put_bodystructure};

extern const struct imap_word imap_fetch_words[];
const struct imap_word imap_fetch_words[] = {
    {SLOT_FETCH, "FLAGS", 0, {.fetch = &item_flags}},
    {SLOT_FETCH, "UID", 0, {.fetch = &item_uid}},
    {SLOT_FETCH, "RFC822.SIZE", 0, {.fetch = &item_size}},
    {SLOT_FETCH, "INTERNALDATE", 0, {.fetch = &item_internaldate}},
    {SLOT_FETCH, "ENVELOPE", 0, {.fetch = &item_envelope}},
    {SLOT_FETCH, "BODYSTRUCTURE", 0, {.fetch = &item_bodystructure}},
    {SLOT_FETCH, "BODY", 0, {.fetch = &imap_item_body}},
    {SLOT_FETCH, "BODY.PEEK", 0, {.fetch = &imap_item_body_peek}},
    {SLOT_FETCH, "RFC822", SECTION_ALL, {.fetch = &imap_item_rfc822}},
    {SLOT_FETCH, "RFC822.HEADER", SECTION_HEADER, {.fetch = &imap_item_rfc822_header}},
    {SLOT_FETCH, "RFC822.TEXT", SECTION_TEXT, {.fetch = &imap_item_rfc822_text}},
    {0},
};
