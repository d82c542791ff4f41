// X-GM-RAW of X-GM-EXT-1: a search in the language of Gmail's search box (imap/gmail_query.h).
#include "imap/gmail_query.h"
#include "imap/labels.h"
#include "imap/search.h"

#include "base/clock.h"

static const struct {
    const char *name;
    enum special_use use;
} places[] = {
    {"inbox", USE_NONE},    {"sent", USE_SENT},       {"draft", USE_DRAFTS},
    {"drafts", USE_DRAFTS}, {"spam", USE_JUNK},       {"trash", USE_TRASH},
    {"bin", USE_TRASH},     {"archive", USE_ARCHIVE},
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

static struct span
real_name(struct raw *r, struct span written)
{
    const struct imap_command *c = r->search->c;
    struct fault f;
    if (!r->names && tree_list(c->session->user, c->arena, &r->names, &r->n, &f) != R_OK)
        return written;
    for (size_t i = 0; i < r->n; i++)
        if (r->names[i].mailbox != 0 && same_label(written, r->names[i].name))
            return r->names[i].name;
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

static void
parse_raw(struct imap_search *s, struct parse *p, struct query *q)
{
    struct raw r = {s, NULL, 0};
    struct gmail_query g = {.arena = s->c->arena,
                            .now_s = clock_wall_s(),
                            .keys = s->keys,
                            .label = put_label,
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
        parse_fail_kind(p, f.kind, "too many or too deeply nested search keys");
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
