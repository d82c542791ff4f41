#include "imap/fetch.h"

#include "imap/event.h"

#include "base/arena_grow.h"
#include "base/limits.h"
#include "imap/labels.h"
#include "imap/messagelimit.h"
#include "imap/search.h"
#include "mail/change.h"
#include "wire/quote.h"

// RFC 9051 section 6.4.5, RFC 3501 section 6.4.5: the verb. The items are in fetch_items.c and fetch_body.c.

enum { BATCH = 64, LINE_FULL = 49152 };

static const char *const macros[][6] = {
    {"ALL", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"},
    {"FAST", "FLAGS", "INTERNALDATE", "RFC822.SIZE"},
    {"FULL", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"},
};

// ---- parsing ----

static struct imap_fetch_want *
want_add(struct imap_fetch *w, struct arena *a, const struct imap_word *word)
{
    w->wants = arena_grow(a, w->wants, w->count, &w->room, sizeof *w->wants);
    struct imap_fetch_want *want = &w->wants[w->count++];
    want->item = word->as.fetch;
    want->value = word->value;
    want->needs = word->as.fetch->needs;
    return want;
}

static bool
has_want(const struct imap_fetch *w, const struct imap_fetch_item *item)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->wants[i].item == item)
            return true;
    return false;
}

void
imap_fetch_want_add(struct imap_command *c, struct imap_fetch *fetch, const char *name)
{
    const struct imap_word *word = imap_word_find(SLOT_FETCH, span_str(name));
    if (!has_want(fetch, word->as.fetch))
        want_add(fetch, c->arena, word);
}

static void
parse_item(struct imap_command *c, struct imap_fetch *w)
{
    struct span name = parse_word(&c->parse);
    const struct imap_word *word = imap_word_find(SLOT_FETCH, name);
    if (!word || w->count >= LIMIT_list_items) {
        parse_fail(&c->parse, "unknown FETCH item");
        return;
    }
    struct imap_fetch_want *want = want_add(w, c->arena, word);
    if (want->item->parse)
        want->item->parse(&c->parse, want);
    c->aware |= (want->needs & FETCH_MODSEQ) != 0;
}

static bool
parse_macro(struct imap_command *c, struct imap_fetch *w)
{
    for (size_t m = 0; m < sizeof macros / sizeof macros[0]; m++) {
        if (!parse_try_word(&c->parse, macros[m][0]))
            continue;
        for (size_t i = 1; i < 6 && macros[m][i]; i++)
            want_add(w, c->arena, imap_word_find(SLOT_FETCH, span_str(macros[m][i])));
        return true;
    }
    return false;
}

void
imap_fetch_items_parse(struct imap_command *c, struct imap_fetch *fetch)
{
    parse_list_open(&c->parse);
    while (parse_list_next(&c->parse))
        parse_item(c, fetch);
    if (fetch->count == 0)
        parse_fail(&c->parse, "no FETCH items");
}

static enum result
parse_wants(struct imap_command *c, struct imap_fetch *w, struct fault *f)
{
    parse_sp(&c->parse);
    if (parse_peek(&c->parse) == '(') {
        imap_fetch_items_parse(c, w);
    } else if (!parse_macro(c, w)) {
        parse_item(c, w);
    }
    if (parse_try(&c->parse, ' '))
        imap_params_parse(c, &c->parse, SLOT_FETCH_MODIFIER);
    return parse_end(&c->parse, f);
}

// ---- one message ----

static void
line_begin(struct imap_fetch_run *run)
{
    imap_put_fetch(run->session, run->line, run->message, false);
}

// \Seen was set: FLAGS, and what RFC 7162 section 3.2.4 adds on CONDSTORE-aware sessions.
static enum result
put_seen(struct imap_fetch_run *run, struct fault *f)
{
    struct imap_session *s = run->session;
    bool aware = imap_enabled(s, ENABLE_CONDSTORE);
    if (!run->has_flags) {
        buf_put_char(run->line, ' ');
        if (imap_fetch_put_flags(run, f) != R_OK)
            return R_FAIL;
    }
    if (aware && !run->has_uid && !imap_enabled(s, ENABLE_UIDONLY)) {
        buf_put(run->line, SPAN(" UID "));
        buf_put_u64(run->line, run->message->row.uid);
    }
    if (aware && !(run->needs & FETCH_MODSEQ)) {
        buf_put_char(run->line, ' ');
        imap_put_modseq(s, run->line, run->message->row.modseq);
    }
    return R_OK;
}

// Items that read the body may be many, each of them large: what there is of a long line leaves.
static void
send_long(struct imap_fetch_run *run)
{
    if (!(run->needs & FETCH_BODY) || run->line->n < LINE_FULL)
        return;
    run->streamed = true;
    imap_line_flush(run->session);
    run->line = imap_line(run->session);
}

static enum result
put_items(struct imap_fetch_run *run, bool flags_too, struct fault *f)
{
    for (size_t i = 0; i < run->fetch->count; i++) {
        send_long(run);
        size_t start = run->line->n;
        if (i > 0)
            buf_put_char(run->line, ' ');
        if (run->fetch->wants[i].item->put(run, &run->fetch->wants[i], f) != R_OK) {
            run->line->n = run->in_literal ? 0 : start;
            return R_FAIL;
        }
    }
    return flags_too ? put_seen(run, f) : R_OK;
}

static void
remember_fault(struct imap_fetch_run *run, const struct fault *f)
{
    if (!run->failed)
        run->fault = *f;
    run->failed = true;
}

// What is no text for people must not be an encoded word, and is one in the cache, which is made for all: a mailbox, a host
// or an identifier in UTF-8. The first two begin behind NIL or a list, a host and the message's identifier end a list.
static bool
has_encoded_address(struct span envelope)
{
    size_t first = span_find(envelope, SPAN("\"=?utf-8?Q?")), n = envelope.n;
    return first < n && (span_find(envelope, SPAN(" NIL \"=?utf-8?Q?")) < n ||
                         span_find(envelope, SPAN(") \"=?utf-8?Q?")) < n ||
                         span_find(envelope, SPAN("?=\")")) < n);
}

// RFC 9051 section 9, media-message: message/global has an envelope and a structure, as message/rfc822 has. RFC 3501 does
// not know it.
static bool
lacks_utf8(const struct imap_fetch_run *run)
{
    struct span structure = run->cache.bodystructure;
    return imap_utf8(run->session) &&
           (span_ifind(structure, SPAN("\"message\" \"global\"")) < structure.n ||
            ((run->needs & FETCH_CACHE) && has_encoded_address(run->cache.envelope)));
}

static enum result
load_cache(struct imap_fetch_run *run, const struct message_row *row, struct fault *f)
{
    arena_reset(run->scratch);
    if (!(run->needs & (FETCH_CACHE | FETCH_PARTS)))
        return R_OK;
    if (message_cache_load(run->mail, row, run->scratch, &run->cache, f) != R_OK)
        return R_FAIL;
    if (!lacks_utf8(run))
        return R_OK;
    return message_cache_utf8(run->mail, row, run->scratch, &run->cache, f);
}

// A message that could not be read: no line; or, when the line has begun, it ends before the damaged item.
static enum result
send_broken(struct imap_fetch_run *run)
{
    if (run->in_literal) {
        imap_bye(run->session, "A message could not be read to its end.");
        return R_FAIL;
    }
    if (!run->streamed) {
        buf_reset(run->line);
        return R_OK;
    }
    buf_put_char(run->line, ')');
    imap_line_send(run->session);
    return R_OK;
}

// A message read from the body: its line leaves piece by piece.
static enum result
send_heavy(struct imap_fetch_run *run, bool flags_too)
{
    struct fault f;
    run->streamed = run->in_literal = false;
    run->line = imap_line(run->session);
    enum result r = load_cache(run, &run->message->row, &f);
    if (r == R_OK) {
        line_begin(run);
        r = put_items(run, flags_too, &f);
    }
    if (r == R_OK) {
        buf_put_char(run->line, ')');
        imap_line_send(run->session);
        return R_OK;
    }
    remember_fault(run, &f);
    return send_broken(run);
}

// ---- a batch of messages whose items need the row and the cache only ----

struct light {
    struct imap_fetch_run *run;
    struct store_cache_reader *reader;
};

static void
reader_end(struct light *l)
{
    if (l->reader)
        store_cache_end(&l->reader);
}

static enum result
find_cache(struct light *l, const struct message_row *row, struct fault *f)
{
    struct imap_fetch_run *run = l->run;
    struct span packed;
    if (!(run->needs & FETCH_CACHE))
        return R_OK;
    if (!l->reader)
        l->reader = store_cache_begin(mail_store(run->mail));
    if (store_cache_find(l->reader, row->blob, &packed) == R_OK &&
        message_cache_get(packed, &run->cache) == R_OK && !lacks_utf8(run))
        return R_OK;
    reader_end(l);
    return load_cache(run, row, f);
}

static void
put_light(struct light *l, bool flags_too)
{
    struct imap_fetch_run *run = l->run;
    size_t start = run->line->n;
    struct fault f;
    if (start > 0)
        buf_put(run->line, SPAN("\r\n"));
    if (find_cache(l, &run->message->row, &f) == R_OK) {
        line_begin(run);
        if (put_items(run, flags_too, &f) == R_OK) {
            buf_put_char(run->line, ')');
            return;
        }
    }
    run->line->n = start;
    remember_fault(run, &f);
}

static enum result
send_light(struct imap_fetch_run *run, const struct view_message *messages,
           const bool *flags_too, size_t n)
{
    struct light l = {run, NULL};
    run->line = imap_line(run->session);
    for (size_t i = 0; i < n; i++) {
        run->message = &messages[i];
        put_light(&l, flags_too[i]);
        if (run->line->n < LINE_FULL)
            continue;
        reader_end(&l);
        imap_line_send(run->session);
        run->line = imap_line(run->session);
    }
    reader_end(&l);
    if (run->line->n > 0)
        imap_line_send(run->session);
    return R_OK;
}

// ---- \Seen ----

// Messages whose text is about to be read become \Seen first; flags_too tells which of them.
static enum result
mark_seen(struct imap_fetch_run *run, struct view_message *messages, bool *flags_too,
          size_t n, struct fault *f)
{
    struct seqset uids;
    struct flag_result result;
    struct flag_change change = {.op = FLAG_OP_ADD, .flags = FLAG_SEEN};
    seqset_init(&uids, run->c->arena);
    for (size_t i = 0; i < n; i++)
        if (!messages[i].expunged && !(messages[i].row.flags & FLAG_SEEN))
            seqset_add(&uids, messages[i].row.uid);
    if (uids.count == 0)
        return R_OK;
    if (imap_event_flags(run->c, &(struct selection){run->session->view, &uids, true},
                         &change, &result, f) != R_OK)
        return R_FAIL;
    size_t k = 0;
    for (size_t i = 0; i < n && k < result.count; i++)
        if (messages[i].row.uid == result.messages[k].row.uid) {
            messages[i].row = result.messages[k++].row;
            flags_too[i] = true;
        }
    return R_OK;
}

// ---- the whole ----

static enum result
send_batch(struct imap_fetch_run *run, struct view_message *messages, size_t n,
           struct fault *f)
{
    bool flags_too[BATCH] = {false};
    if (run->labels && imap_labels_next(run->labels, messages, n, f) != R_OK)
        return R_FAIL;
    if (run->sets_seen && mark_seen(run, messages, flags_too, n, f) != R_OK)
        return R_FAIL;
    if (!(run->needs & FETCH_BODY))
        return send_light(run, messages, flags_too, n);
    for (size_t i = 0; i < n; i++) {
        run->message = &messages[i];
        if (imap_goes_on(run->session, run->session->view, f) != R_OK)
            return R_FAIL;
        if (send_heavy(run, flags_too[i]) != R_OK)
            return fault_set(f, FAULT_CORRUPTION, "message damaged while it was sent");
    }
    return R_OK;
}

static bool
may_set_seen(const struct imap_session *s)
{
    struct view_info info;
    view_info(s->view, &info);
    return !info.read_only && (info.rights & RIGHT_SEEN);
}

static bool
has_item(const struct imap_fetch *fetch, const char *name)
{
    return has_want(fetch, imap_word_find(SLOT_FETCH, span_str(name))->as.fetch);
}

static void
run_begin(struct imap_fetch_run *run)
{
    bool seen = false;
    for (size_t i = 0; i < run->fetch->count; i++) {
        const struct imap_fetch_want *w = &run->fetch->wants[i];
        run->needs |= w->needs;
        seen |= (w->needs & FETCH_SEEN) && !w->peek;
    }
    run->has_flags = has_item(run->fetch, "FLAGS");
    run->has_uid = has_item(run->fetch, "UID");
    run->sets_seen = seen && may_set_seen(run->session);
    if (run->needs & FETCH_LABELS)
        run->labels = imap_labels_new(run->c);
}

static void
run_done(struct imap_fetch_run *run)
{
    for (size_t i = 0; i < run->flag_text_count; i++)
        buf_done(&run->flag_texts[i]);
    free(run->flag_texts);
    imap_labels_free(&run->labels);
    arena_free(&run->scratch);
}

// Messages to come, for who waits: no more than these.
static uint64_t
goal_of(const struct imap_fetch_run *run)
{
    const struct imap_fetch *fetch = run->fetch;
    uint64_t exists = view_exists(run->session->view);
    if (fetch->since > 0)
        return 0;
    return fetch->set && seqset_size(fetch->set) < exists ? seqset_size(fetch->set)
                                                          : exists;
}

static enum result
run_all(struct imap_fetch_run *run, struct fault *f)
{
    const struct imap_fetch *fetch = run->fetch;
    struct view_cursor cursor;
    struct view_message messages[BATCH];
    uint64_t goal = goal_of(run), done = 0;
    size_t n;
    enum result r;
    if (view_cursor_init(&cursor, run->session->view, fetch->set, fetch->by_uid, f) != R_OK)
        return R_FAIL;
    cursor.since = fetch->since;
    imap_progress(run->c, 0, goal);
    while ((r = view_next(&cursor, messages, BATCH, &n, f)) == R_OK) {
        if (send_batch(run, messages, n, f) != R_OK)
            return R_FAIL;
        imap_progress(run->c, done += n, goal);
    }
    return r == R_NONE ? R_OK : R_FAIL;
}

enum result
imap_fetch(struct imap_command *c, const struct imap_fetch *fetch, struct fault *f)
{
    struct imap_fetch_run *run = ARENA_NEW(c->arena, struct imap_fetch_run);
    run->c = c;
    run->session = c->session;
    run->mail = account_mail(view_account(c->session->view));
    run->fetch = fetch;
    run->scratch = arena_new();
    run_begin(run);
    enum result r = run_all(run, f);
    if (r == R_OK && run->failed) {
        *f = run->fault;
        r = R_FAIL;
    }
    run_done(run);
    return r;
}

// The client's order of items is kept; UID FETCH puts UID in front when the client did not name it. A UIDFETCH line
// begins with it anyway (RFC 9586).
static void
add_uid(struct imap_command *c, struct imap_fetch *w)
{
    if (!c->uid || imap_enabled(c->session, ENABLE_UIDONLY) || has_item(w, "UID"))
        return;
    imap_fetch_want_add(c, w, "UID");
    struct imap_fetch_want uid = w->wants[w->count - 1];
    memmove(w->wants + 1, w->wants, (w->count - 1) * sizeof *w->wants);
    w->wants[0] = uid;
}

// RFC 9738: a page is whole or refused, of all else the newest messages are told.
static enum result
begin(struct imap_command *c, struct imap_fetch *w, struct fault *f)
{
    const struct imap_partial *page = w->partial;
    if (page && imap_limit_page(c, (uint64_t)page->last - page->first + 1, f) != R_OK)
        return R_FAIL;
    if (imap_params_begin(c, f) != R_OK)
        return R_FAIL;
    return page ? R_OK : imap_limit_newest(c, &c->set, c->by_uid, f);
}

static enum result
fetch_run(struct imap_command *c, struct fault *f)
{
    struct imap_fetch w = {.set = &c->set, .by_uid = c->by_uid};
    c->own = &w;
    if (parse_wants(c, &w, f) != R_OK || begin(c, &w, f) != R_OK)
        return R_FAIL;
    imap_condstore_aware(c);
    add_uid(c, &w);
    return imap_fetch(c, &w, f);
}

extern const struct imap_word imap_fetch_words[];

static const struct imap_verb verbs[] = {
    {"FETCH", ARGS_SET_MORE, IMAP_SELECTED, VERB_SEQ | VERB_UID | VERB_READS, RIGHT_READ,
     fetch_run},
    {0},
};

const struct imap_ext imap_ext_fetch = {
    .name = "fetch",
    .rfc = "RFC 9051 section 6.4.5",
    .verbs = verbs,
    .words = imap_fetch_words,
};
