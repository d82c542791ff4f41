#include "search/fuzzy.h"

#include "base/limits.h"

// ---- words ----

static bool
in_word(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (c & 0x80);
}

static struct span
fuzzy_fold(struct arena *a, struct span text)
{
    struct buf b;
    buf_init(&b, LIMIT_record_meta);
    mime_fold_as(&b, COLLATION_FUZZY, text);
    struct span s = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return s;
}

// The next word of a folded text, off its front; empty: there is none.
static struct span
take_word(struct span *rest)
{
    size_t n = 0;
    while (rest->n > 0 && !in_word(rest->p[0]))
        *rest = span_skip(*rest, 1);
    while (n < rest->n && in_word(rest->p[n]))
        n++;
    struct span word = span_slice(*rest, 0, n);
    *rest = span_skip(*rest, n);
    return word;
}

static size_t
count_words(struct span text)
{
    size_t n = 0;
    while (take_word(&text).n > 0)
        n++;
    return n;
}

// ---- keys ----

static struct query *
word_key(const struct query *q, struct span word, struct arena *a)
{
    struct query *key = ARENA_NEW(a, struct query);
    *key = (struct query){.op = q->op, .name = q->name, .text = word, .fuzzy = true};
    return key;
}

// A text without any word is looked for as it is.
static enum result
split(struct query *q, struct arena *a, uint32_t *keys, struct fault *f)
{
    struct span text = fuzzy_fold(a, q->text), rest = text, word;
    size_t n = count_words(text);
    q->fuzzy = true;
    uint32_t more = n < 2 ? 0 : (uint32_t)n;
    if (more + *keys > LIMIT_search_keys)
        return fault_set(f, FAULT_LIMIT, "too many words to be searched");
    *keys += more;
    if (n == 1)
        q->text = take_word(&rest);
    if (n < 2)
        return R_OK;
    struct query words = {.op = QUERY_AND}, **end = &words.first;
    for (; (word = take_word(&rest)).n > 0; end = &(*end)->next)
        *end = word_key(q, word, a);
    q->op = QUERY_AND;
    q->text = text;
    q->first = words.first;
    return R_OK;
}

enum result
query_fuzzy(struct query *q, struct arena *a, uint32_t *keys, struct fault *f)
{
    if (q->fuzzy)
        return R_OK;
    if (q->op >= QUERY_ATTACHMENT)
        return split(q, a, keys, f);
    for (struct query *k = q->first; k; k = k->next)
        if (query_fuzzy(k, a, keys, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- relevancy ----

// How much a word tells, by where it stands: inside another word, at the beginning of one, or as a whole one.
enum { INSIDE, BEGINS, WHOLE, GRADES };
static const uint8_t in_asked[GRADES] = {60, 80, 100}, in_subject[GRADES] = {60, 80, 100},
                     in_from[GRADES] = {45, 60, 75}, in_others[GRADES] = {30, 40, 50};
enum { ELSEWHERE = 20, OUT_OF_ORDER = 90 };  // OUT_OF_ORDER: percent

enum { FIELDS = 5 };  // SUBJECT, FROM, TO, CC, BCC
struct folded {
    struct span fields[FIELDS];
};

static unsigned
grade_at(struct span text, size_t at, size_t n)
{
    bool begins = at == 0 || !in_word(text.p[at - 1]);
    bool ends = at + n == text.n || !in_word(text.p[at + n]);
    return begins && ends ? WHOLE : begins ? BEGINS : INSIDE;
}

// Where a word is there at all, only the beginnings of words may be worth more. 0: it is not there.
static unsigned
worth(struct span text, struct span word, const uint8_t worths[GRADES])
{
    unsigned best = INSIDE;
    size_t at = span_find(text, word);
    if (word.n == 0 || at >= text.n)
        return 0;
    for (; at + word.n <= text.n && best < WHOLE; at++) {
        bool inside = at > 0 && in_word(text.p[at - 1]);
        if (inside || memcmp(text.p + at, word.p, word.n) != 0)
            continue;
        unsigned one = grade_at(text, at, word.n);
        best = one > best ? one : best;
    }
    return worths[best];
}

static unsigned
max_of(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static unsigned
word_score(const struct query *q, const struct folded *m)
{
    const struct span *fields = m->fields;
    unsigned best = ELSEWHERE;
    if (q->op >= QUERY_SUBJECT && q->op <= QUERY_BCC)
        return max_of(best, worth(fields[q->op - QUERY_SUBJECT], q->text, in_asked));
    best = max_of(best, worth(fields[0], q->text, in_subject));
    best = max_of(best, worth(fields[1], q->text, in_from));
    for (size_t i = 2; i < FIELDS; i++)
        best = max_of(best, worth(fields[i], q->text, in_others));
    return best;
}

static bool
in_order(const struct query *words, const struct folded *m)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (span_find(m->fields[i], words->text) < m->fields[i].n)
            return true;
    return false;
}

// The mean of what was asked fuzzily; of alternatives the best one. 0: nothing was.
static unsigned
score(const struct query *q, const struct folded *m)
{
    unsigned sum = 0, n = 0, best = 0;
    if (q->op == QUERY_NOT)
        return 0;
    if (q->op != QUERY_AND && q->op != QUERY_OR)
        return q->fuzzy && q->text.n > 0 ? word_score(q, m) : 0;
    for (const struct query *k = q->first; k; k = k->next) {
        unsigned one = score(k, m);
        sum += one;
        n += one > 0;
        best = max_of(best, one);
    }
    if (n == 0 || q->op == QUERY_OR)
        return best;
    return q->fuzzy && !in_order(q, m) ? sum / n * OUT_OF_ORDER / 100 : sum / n;
}

unsigned
query_relevancy(const struct query *q, const struct mime_summary *s, struct arena *a)
{
    struct folded m = {{fuzzy_fold(a, s->subject), fuzzy_fold(a, s->from),
                        fuzzy_fold(a, s->to), fuzzy_fold(a, s->cc), fuzzy_fold(a, s->bcc)}};
    unsigned all = score(q, &m);
    return all > 0 ? all : 100;
}
