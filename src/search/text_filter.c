#include "search/text_filter.h"

#include "search/text_inside.h"

enum { GROUP = 8, GROUPS = FILTER_PAGES / GROUP };

struct text_filter {
    size_t pages;
    uint8_t weights[FILTER_PAGES];
    unsigned char bits[GROUP][FILTER_ROWS / 8];  // of the pages that are no group yet
    unsigned char *groups[GROUPS];  // an octet for each row: a bit for each page
};

struct text_filter *
text_filter_new(void)
{
    struct text_filter *t = calloc(1, sizeof *t);
    must(t != NULL);
    return t;
}

void
text_filter_reset(struct text_filter *t)
{
    for (size_t i = 0; i < GROUPS; i++) {
        free(t->groups[i]);
        t->groups[i] = NULL;
    }
    memset(t->bits, 0, sizeof t->bits);
    memset(t->weights, 0, sizeof t->weights);
    t->pages = 0;
}

void
text_filter_free(struct text_filter **t)
{
    if (!*t)
        return;
    text_filter_reset(*t);
    free(*t);
    *t = NULL;
}

size_t
text_filter_pages(const struct text_filter *t)
{
    return t->pages;
}

// Eight octets, each of a page, as eight octets, each of a row (Hacker's Delight, 7-3).
static uint64_t
turn(uint64_t x)
{
    uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAu;
    x ^= t ^ (t << 7);
    t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCu;
    x ^= t ^ (t << 14);
    t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0u;
    return x ^ t ^ (t << 28);
}

// The last eight pages as octets of rows.
static void
end_group(struct text_filter *t)
{
    unsigned char *out = calloc(FILTER_ROWS, 1);
    must(out != NULL);
    for (size_t i = 0; i < FILTER_ROWS / 8; i++) {
        uint64_t x = 0;
        for (size_t page = 0; page < GROUP; page++)
            x |= (uint64_t)t->bits[page][i] << (page * 8);
        x = turn(x);
        for (size_t row = 0; row < 8; row++)
            out[i * 8 + row] = (unsigned char)(x >> (row * 8));
    }
    t->groups[(t->pages - 1) / GROUP] = out;
    memset(t->bits, 0, sizeof t->bits);
}

// Eight steps for each doubling.
static uint8_t
weight_of(size_t documents)
{
    unsigned bits = 0;
    while (documents >> bits > 1)
        bits++;
    size_t rest = (bits > 3 ? documents >> (bits - 3) : documents << (3 - bits)) & 7;
    return (uint8_t)(bits * 8 + rest);
}

static void
set_bit(unsigned char *bits, uint32_t row)
{
    bits[row / 8] |= (unsigned char)(1u << (row % 8));
}

// The first of the pieces of so many octets that is not known.
static size_t
first_new(size_t known, size_t octets)
{
    return known < octets ? 0 : known - octets + 1;
}

void
text_filter_term(struct text_filter *t, struct span text, size_t known, bool longs)
{
    unsigned char *bits = t->bits[t->pages % GROUP];
    uint32_t rows[FILTER_BITS];
    must(t->pages < FILTER_PAGES);
    for (size_t i = first_new(known, FILTER_GRAM); i + FILTER_GRAM <= text.n; i++) {
        text_filter_rows(text.p + i, rows);
        for (size_t k = 0; k < FILTER_BITS; k++)
            set_bit(bits, rows[k]);
    }
    for (size_t i = first_new(known, FILTER_LONG); longs && i + FILTER_LONG <= text.n; i++)
        set_bit(bits, text_filter_long_row(text.p + i));
}

void
text_filter_page(struct text_filter *t, size_t documents)
{
    must(t->pages < FILTER_PAGES && documents <= UINT32_MAX);
    t->weights[t->pages++] = weight_of(documents);
    if (t->pages % GROUP == 0)
        end_group(t);
}

void
text_filter_row(const struct text_filter *t, uint32_t row, char *out)
{
    size_t n = text_filter_row_size(t->pages), whole = t->pages / GROUP;
    must(row < FILTER_ROWS_ALL);
    if (row >= FILTER_ROWS) {
        memcpy(out, t->weights + (row - FILTER_ROWS) * n, n);
        return;
    }
    for (size_t i = 0; i < whole; i++)
        out[i] = (char)t->groups[i][row];
    unsigned last = 0;
    for (size_t page = 0; page < t->pages % GROUP; page++)
        last |= (t->bits[page][row / 8] >> (row % 8) & 1u) << page;
    if (whole < n)
        out[whole] = (char)last;
}
