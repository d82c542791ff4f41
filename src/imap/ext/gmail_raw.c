// X-GM-RAW of X-GM-EXT-1: a search in the language of Gmail's search box (imap/gmail_query.h).
#include "imap/gmail_query.h"
#include "imap/labels.h"
#include "imap/search.h"

#include "base/clock.h"
#include "io/task.h"

enum { NAMES_AT_ONCE = 64 };

static const struct {
    const char *name;
    enum special_use use;
} places[] = {
    {"inbox", USE_NONE},          {"sent", USE_SENT},       {"draft", USE_DRAFTS},
    {"drafts", USE_DRAFTS},       {"spam", USE_JUNK},       {"trash", USE_TRASH},
    {"bin", USE_TRASH},           {"archive", USE_ARCHIVE}, {"snoozed", USE_SNOOZED},
    {"scheduled", USE_SCHEDULED},
};

// In the search box a label's name is written in lower case, with '-' for what is no letter.
static bool
same_label(struct span written, struct span name)
{
    if (written.n != name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char w = ascii_lower(written.p[i]), c = ascii_lower(name.p[i]);
        if (w != c && !(w == '-' && (c == ' ' || c == '/')))
            return false;
    }
    return true;
}

struct raw {
    struct imap_search *search;
    struct tree_entry *names;  // NULL: not asked for yet
    size_t n;
};

// Thousands of labels may be asked for where there are thousands of mailboxes: others run in between.
static struct span
real_name(struct raw *r, struct span written)
{
    const struct imap_command *c = r->search->c;
    struct fault f;
    if (r->search->filters.form_only)
        return written;
    if (!r->names && tree_list(c->session->user, c->arena, &r->names, &r->n, &f) != R_OK)
        return written;
    for (size_t i = 0; i < r->n; i++) {
        if (r->names[i].mailbox != 0 && same_label(written, r->names[i].name))
            return r->names[i].name;
        if (i % NAMES_AT_ONCE == 0)
            task_yield();
    }
    return written;
}

static void
put_label(void *arg, struct span name, struct query *q)
{
    struct raw *r = arg;
    struct imap_label l = {.kind = LABEL_USE};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (span_ieq(name, span_str(places[i].name))) {
            l.use = places[i].use;
            imap_label_search(r->search, &l, q);
            return;
        }
    l = (struct imap_label){.kind = LABEL_NAME, .name = real_name(r, name)};
    imap_label_search(r->search, &l, q);
}

// The mailbox that is looked into is a label too.
static bool
has_user_label(const struct label_list *labels)
{
    for (size_t i = 0; i < labels->n; i++)
        if (labels->labels[i]->use == USE_NONE && !labels->labels[i]->inbox)
            return true;
    return false;
}

static enum result
gather_labelled(struct imap_search *s, struct view *v, struct label_reader *reader,
                struct seqset *out, struct fault *f)
{
    enum { BATCH = 128 };
    struct view_message *batch = arena_array(s->arena, BATCH, sizeof *batch);
    struct label_list *labels = arena_array(s->arena, BATCH, sizeof *labels);
    struct arena *lists = arena_new();
    struct view_cursor cursor;
    size_t n;
    enum result r = view_cursor_init(&cursor, v, NULL, true, f);
    while (r == R_OK && (r = view_next(&cursor, batch, BATCH, &n, f)) == R_OK) {
        arena_reset(lists);
        r = label_reader_next(reader, batch, n, lists, labels, f);
        for (size_t i = 0; r == R_OK && i < n; i++)
            if (has_user_label(&labels[i]))
                seqset_add(out, batch[i].row.uid);
        task_yield();
    }
    arena_free(&lists);
    return r == R_NONE ? R_OK : R_FAIL;
}

static bool
is_inbox(const struct tree_entry *e)
{
    return span_ieq(e->name, SPAN("INBOX")) ||
           (e->foreign && span_ends(e->name, SPAN("/INBOX")));
}

// The key before this one that asks the same, in this mailbox already.
static const struct seqset *
found_before(const struct imap_search *s, const struct imap_search_bind *b)
{
    const struct imap_search_bind *o = s->asked.binds;
    while (o != b && o->fn != b->fn)
        o = o->next;
    return o != b ? o->query->set : NULL;
}

static enum result
bind_user_labels(struct imap_search *s, struct view *v, const struct imap_search_bind *b,
                 struct fault *f)
{
    struct mail_user *user = s->c->session->user;
    const struct seqset *before = found_before(s, b);
    struct tree_entry own;
    struct view_info info;
    if (before) {
        b->query->set = before;
        return R_OK;
    }
    struct seqset *set = ARENA_NEW(s->arena, struct seqset);
    view_info(v, &info);
    tree_find_id(user, s->arena, info.mailbox, &own);
    seqset_init(set, s->arena);
    b->query->set = set;
    if (own.special_use == USE_NONE && !is_inbox(&own)) {
        seqset_add_range(set, 1, UINT32_MAX);
        return R_OK;
    }
    struct label_reader *reader = label_reader_new(user, v, s->arena);
    enum result r = gather_labelled(s, v, reader, set, f);
    label_reader_free(&reader);
    return r;
}

static void
put_user_labels(void *arg, struct query *q)
{
    struct raw *r = arg;
    r->search->looked_up = true;
    q->op = QUERY_UIDS;
    imap_search_bind_add(r->search,
                         &(struct imap_search_bind){.query = q, .fn = bind_user_labels});
}

static void
parse_raw(struct imap_search *s, struct parse *p, struct query *q)
{
    struct raw r = {s, NULL, 0};
    bool form_only = s->filters.form_only;  // then there may be no user
    struct gmail_query g = {.arena = s->c->arena,
                            .now_s = clock_wall_s(),
                            .keys = s->keys,
                            .me =
                                form_only ? SPAN_NONE : mail_user_name(s->c->session->user),
                            .label = put_label,
                            .user_labels = put_user_labels,
                            .arg = &r};
    struct query *read;
    struct fault f;
    parse_sp(p);
    struct span text = imap_search_text(s, p);
    if (p->bad)
        return;
    if (gmail_query_parse(&g, text, &read, &f) == R_OK)
        *q = *read;
    else
        parse_fail_kind(p, f.kind,
                        f.kind == FAULT_LIMIT ? "too many or too deeply nested search keys"
                                              : "AROUND is not known here");
    s->keys = g.keys;
}

static const struct imap_search_key raw = {QUERY_ALL, false, 0, parse_raw};

static const struct imap_word words[] = {
    {SLOT_SEARCH, "X-GM-RAW", 0, {.search = &raw}},
    {0},
};

const struct imap_ext imap_ext_gmail_raw = {
    .name = "gmail_raw",
    .rfc = "RFC 9051 section 6.4.4, as Google's IMAP extensions",
    .words = words,
};
