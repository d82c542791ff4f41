#include "imap/base/search_index.h"

#include "base/log.h"
#include "mail/acl.h"
#include "mime/charset.h"

// What is open is taken to go on as it began. A lookup costs some milliseconds; so do the summaries of some thousand messages, or the bodies of fewer.
enum { COST_SUMMARY = 1, COST_BODY = 64, ASK_FROM = 4096 };
// Each text has a bit for each document; the mail is read once for all texts.
enum { ASK_MOST = 32 };

static bool
reads_bodies(const struct query *q)
{
    if (q->op >= QUERY_HEADER)
        return true;
    for (const struct query *k = q->first; k; k = k->next)
        if (reads_bodies(k))
            return true;
    return false;
}

// Programs look for ids by themselves, and the summary mostly answers.
static bool
is_id(struct span field)
{
    return span_ieq(field, SPAN("Message-ID")) || span_ieq(field, SPAN("In-Reply-To")) ||
           span_ieq(field, SPAN("References"));
}

// Is it a search as people make them, for which an account gets an index?
static bool
wants_index(const struct query *q)
{
    if (q->op >= QUERY_SUBJECT)
        return q->op != QUERY_HEADER || !is_id(q->name);
    for (const struct query *k = q->first; k; k = k->next)
        if (wants_index(k))
            return true;
    return false;
}

// Not for what is no UTF-8: its octets mean something else in the index.
static bool
can_ask(const struct search_index *x, const struct text_lookup *l)
{
    return x->asked < ASK_MOST && l->needle.n > 0 && mime_utf8_valid(l->needle);
}

static void
init(struct search_index *x, const struct query *q, struct account *account,
     struct arena *a)
{
    *x = (struct search_index){
        .account = account, .reads_body = reads_bodies(q), .wants = wants_index(q)};
    x->lookups = query_lookups(q, a, &x->n);
    x->slots = arena_array(a, x->n + 1, sizeof *x->slots);
    for (size_t i = 0; i < x->n; i++) {
        if (!can_ask(x, &x->lookups[i]))
            continue;
        x->slots[x->asked] = (uint32_t)i;
        x->lookups[x->asked++] = x->lookups[i];
    }
}

struct search_index *
search_index_for(struct imap_search *s, struct account *account)
{
    struct search_index **at = &s->asked.indexes;
    while (*at && (*at)->account != account)
        at = &(*at)->next;
    if (!*at) {
        *at = ARENA_NEW(s->c->arena, struct search_index);
        init(*at, s->query, account, s->c->arena);
        (*at)->user = s->c->session->user;
    }
    return *at;
}

bool
search_index_ready(struct search_index *x, const struct search_seen *seen)
{
    x->looked += seen->n;
    x->open += seen->open;
    uint64_t all = seen->all > x->looked ? seen->all : x->looked;
    uint64_t cost = x->open * all / x->looked * (x->reads_body ? COST_BODY : COST_SUMMARY);
    if (x->tried || x->asked == 0 || cost < ASK_FROM)
        return x->found != NULL;
    x->tried = true;
    if (!acl_reads_all(x->user, x->account))
        return false;  // the mail itself is read
    x->called = true;
    log_debug("imap", "The text index is asked",
              field_number("account", "account=%", account_id(x->account)));
    return mail_index_find(x->account, x->lookups, x->asked, &x->found) == R_OK;
}

void
search_index_of(struct search_index *x, uint64_t emailid, enum text_answer *answers)
{
    for (size_t i = 0; i < x->asked; i++)
        answers[x->slots[i]] = text_found_of(x->found, i, emailid);
}

void
imap_search_done(struct imap_search *s)
{
    for (struct search_index *x = s->asked.indexes; x; x = x->next)
        if (x->called)
            mail_index_found_free(x->account, &x->found, x->wants);
    s->asked.indexes = NULL;
}
