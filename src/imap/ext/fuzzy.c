// RFC 6203: SEARCH FUZZY and its RELEVANCY, which SORT can go by. What matches is in docs/search.md.
#include "imap/search.h"

#include "base/arena_grow.h"
#include "io/task.h"
#include "mail/message.h"
#include "search/fuzzy.h"
#include "search/sort.h"

static void
parse_fuzzy(struct imap_search *s, struct parse *p, struct query *q)
{
    struct fault f;
    parse_sp(p);
    q->first = imap_search_parse_key(s, p);
    s->asked.fuzzy = true;
    if (!p->bad && query_fuzzy(q->first, s->c->arena, &s->keys, &f) != R_OK)
        parse_fail_kind(p, f.kind, "too many words to be searched");
}

enum result
imap_relevancy_note(struct imap_search *s, struct mail *m, const struct message_row *row,
                    struct arena *scratch, struct fault *f)
{
    struct imap_scores *all = &s->scores;
    struct message_cache cache;
    struct mime_summary summary;
    arena_reset(scratch);
    if (message_cache_load(m, row, scratch, &cache, f) != R_OK ||
        mime_summary_get(cache.summary, &summary, f) != R_OK)
        return R_FAIL;
    all->list = arena_grow(s->arena, all->list, all->n, &all->room, sizeof *all->list);
    all->list[all->n++] = (struct imap_score){
        row->uid, (uint8_t)query_relevancy(s->query, &summary, scratch)};
    task_yield();
    return R_OK;
}

static int
by_uid(const void *pa, const void *pb)
{
    const struct imap_score *a = pa, *b = pb;
    return (a->uid > b->uid) - (a->uid < b->uid);
}

unsigned
imap_relevancy_of(const struct imap_search *s, uint32_t uid)
{
    const struct imap_score want = {uid, 0},
                            *found = bsearch(&want, s->scores.list, s->scores.n,
                                             sizeof want, by_uid);
    must(found != NULL);
    return found->score;
}

static const struct imap_search_key fuzzy = {QUERY_AND, false, 0, parse_fuzzy};

static const struct imap_word words[] = {
    {SLOT_SEARCH, "FUZZY", 0, {.search = &fuzzy}},
    {SLOT_SEARCH_RETURN, "RELEVANCY", RETURN_RELEVANCY, {0}},
    {SLOT_SORT, "RELEVANCY", SORT_RELEVANCY, {0}},
    {0},
};

const struct imap_ext imap_ext_fuzzy = {
    .name = "fuzzy",
    .rfc = "RFC 6203",
    .capability = "SEARCH=FUZZY",
    .words = words,
};
