#include "search/sort_inside.h"

#include "base/limits.h"
#include "search/fuzzy.h"

// The values of a sort.

// SHORT: no field is cut there.
enum { PIECE = 1 << 20, SHORT = 1000 };

static bool
in_summary(enum sort_key key)
{
    return key != SORT_ARRIVAL && key != SORT_MODSEQ && key != SORT_SIZE &&
           key != SORT_UID && key != SORT_PLACE;
}

void
sort_program_add(struct sort_program *p, enum sort_key key, bool reverse)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->list[i].key == key)
            return;
    p->list[p->n++] = (struct sort_criterion){key, reverse};
    p->summary |= in_summary(key);
}

// What is compared, before it is folded.
static struct span
text_of(enum sort_key key, const struct mime_summary *m)
{
    switch (key) {
    case SORT_CC:
        return m->sort_cc;
    case SORT_FROM:
        return m->sort_from;
    case SORT_TO:
        return m->sort_to;
    case SORT_DISPLAYFROM:
        return m->display_from;
    case SORT_DISPLAYTO:
        return m->display_to;
    case SORT_SUBJECT:
        return m->base_subject;
    default:
        return SPAN_NONE;
    }
}

bool
sort_program_cut(const struct sort_program *p, const struct mime_summary *m)
{
    for (unsigned i = 0; i < p->n; i++) {
        enum sort_key key = p->list[i].key;
        struct span from = key == SORT_SUBJECT ? m->subject : text_of(key, m);
        if (from.n > SHORT && mime_summary_cut(from))
            return true;
    }
    return false;
}

// Signed dates in the order of unsigned numbers.
static uint64_t
rising(int64_t v)
{
    return (uint64_t)v ^ UINT64_C(1) << 63;
}

static uint64_t
number_of(enum sort_key key, const struct message_row *row, const struct mime_summary *m)
{
    switch (key) {
    case SORT_ARRIVAL:
        return rising(row->internal_date);
    case SORT_DATE:  // RFC 5256 section 2.2
        return rising(m && m->has_date ? m->date.utc_s : row->internal_date);
    case SORT_MODSEQ:
        return row->modseq;
    case SORT_SIZE:
        return row->size;
    case SORT_PLACE:
        return row->blob;
    default:
        return row->uid;
    }
}

bool
sort_is_text(enum sort_key key)
{
    return in_summary(key) && key != SORT_DATE && key != SORT_RELEVANCY;
}

// RFC 6203 section 6: the highest score first.
static uint64_t
irrelevancy(const struct sort_program *p, const struct mime_summary *m)
{
    struct arena *a = arena_new_small();
    unsigned score = query_relevancy(p->query, m, a);
    arena_free(&a);
    return 100 - score;
}

// A text is that of the buffer.
static struct sort_value
value_of(const struct sort_program *p, unsigned i, const struct message_row *row,
         const struct mime_summary *m, struct buf *text)
{
    enum sort_key key = p->list[i].key;
    if (key == SORT_RELEVANCY)
        return (struct sort_value){.number = irrelevancy(p, m)};
    if (!sort_is_text(key))
        return (struct sort_value){.number = number_of(key, row, m)};
    buf_reset(text);
    mime_fold_as(text, p->collation, text_of(key, m));
    return (struct sort_value){.number = text->n, .text = text->n > 0 ? text->p : ""};
}

void
sort_values_of(const struct sort_program *p, const struct message_row *row,
               const struct mime_summary *summary, struct arena *a, struct sort_value *out)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    for (unsigned i = 0; i < p->n; i++) {
        out[i] = value_of(p, i, row, summary, &text);
        if (out[i].number > 0 && out[i].text)
            out[i].text = arena_dup(a, buf_span(&text)).p;
    }
    buf_done(&text);
}

int
sort_value_compare(const struct sort_value *a, const struct sort_value *b)
{
    uint64_t n = a->number < b->number ? a->number : b->number;
    int order = a->text ? memcmp(a->text, b->text, n) : 0;
    if (order == 0 && a->number != b->number)
        order = a->number < b->number ? -1 : 1;
    return order;
}

int
sort_compare(const struct sort_program *p, const struct sort_value *a,
             const struct sort_value *b)
{
    for (unsigned i = 0; i < p->n; i++) {
        int order = sort_value_compare(&a[i], &b[i]);
        if (order != 0)
            return p->list[i].reverse ? -order : order;
    }
    return 0;
}

// ---- memory ----

enum result
sort_take(struct sort *s, size_t octets, struct fault *f)
{
    if (search_ledger_take(s->ledger, octets, f) != R_OK)
        return R_FAIL;
    s->taken += octets;
    return R_OK;
}

// A copy that lives as long as the sort.
static enum result
keep(struct sort *s, struct span text, const char **out, struct fault *f)
{
    if (text.n > s->left) {
        size_t n = text.n > PIECE ? text.n : PIECE;
        if (sort_take(s, n + sizeof(struct sort_piece), f) != R_OK)
            return R_FAIL;
        struct sort_piece *piece = calloc(1, n + sizeof *piece);
        must(piece != NULL);
        piece->next = s->pieces;
        s->pieces = piece;
        s->free = (char *)(piece + 1);
        s->left = n;
    }
    memcpy(s->free, text.p, text.n);
    *out = s->free;
    s->free += text.n;
    s->left -= text.n;
    return R_OK;
}

enum result
sort_new(const struct sort_program *p, size_t count, struct search_ledger *ledger,
         struct sort **out, struct fault *f)
{
    struct sort *s = calloc(1, sizeof *s);
    must(s != NULL && p->n > 0);
    *s = (struct sort){.program = *p, .count = count, .ledger = ledger, .set = true};
    size_t of_values = p->n * sizeof *s->values, each = of_values + sizeof *s->items;
    buf_init(&s->text, SIZE_MAX);
    if (count > LIMIT_sort_octets / (each + 1) || sort_take(s, count * each, f) != R_OK) {
        sort_free(&s);
        return fault_set(f, FAULT_LIMIT, "a sort of %zu messages", count);
    }
    s->values = calloc(count + 1, of_values);
    s->items = calloc(count + 1, sizeof *s->items);
    must(s->values && s->items);
    *out = s;
    return R_OK;
}

enum result
sort_set(struct sort *s, size_t i, const struct message_row *row,
         const struct mime_summary *summary, struct fault *f)
{
    struct sort_value *v = &s->values[i * s->program.n];
    for (unsigned k = 0; k < s->program.n; k++) {
        if (!summary && in_summary(s->program.list[k].key))
            continue;
        v[k] = value_of(&s->program, k, row, summary, &s->text);
        if (v[k].number > 0 && v[k].text &&
            keep(s, buf_span(&s->text), &v[k].text, f) != R_OK)
            return R_FAIL;
    }
    s->items[i] = (struct sort_item){sort_digit(s, 0, 0, (uint32_t)i), (uint32_t)i};
    return R_OK;
}

void
sort_set_number(struct sort *s, unsigned criterion, size_t i, uint64_t number)
{
    s->values[i * s->program.n + criterion] = (struct sort_value){.number = number};
    s->set = false;
}

void
sort_free(struct sort **s)
{
    if (!*s)
        return;
    while ((*s)->pieces) {
        struct sort_piece *next = (*s)->pieces->next;
        free((*s)->pieces);
        (*s)->pieces = next;
    }
    buf_done(&(*s)->text);
    search_ledger_give((*s)->ledger, (*s)->taken);
    free((*s)->values);
    free((*s)->items);
    free((*s)->spare);
    free((*s)->ranges);
    free((*s)->order);
    free(*s);
    *s = NULL;
}
