// LIST patterns as a set of states in bits: one step per octet of the name, no backtracking.
#include "imap/list.h"

#include "base/limits.h"

enum { WORDS_MAX = LIMIT_mailbox_name / 64 + 1 };

// State i: the first i elements of the pattern are matched. A wildcard state keeps itself.
struct list_pattern {
    size_t words;                   // of 64 states
    size_t last;                    // the accepting state
    uint64_t star[WORDS_MAX];       // states before '*'
    uint64_t percent[WORDS_MAX];    // states before '%'
    uint64_t (*octets)[WORDS_MAX];  // [256]: states before this octet
};

static void
set_bit(uint64_t *bits, size_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static bool
is_wild(char c)
{
    return c == '*' || c == '%';
}

struct list_pattern *
list_pattern_new(struct arena *a, struct span pattern)
{
    if (pattern.n > LIMIT_mailbox_name)
        return NULL;
    struct list_pattern *p = ARENA_NEW(a, struct list_pattern);
    p->octets = arena_array(a, 256, sizeof *p->octets);
    for (size_t i = 0; i < pattern.n; i++) {
        char c = pattern.p[i];
        bool run = i > 0 && is_wild(c) && is_wild(pattern.p[i - 1]);
        if (run)  // "%*" is "*": one wildcard state stands for the run
            p->last--;
        if (c == '*')
            set_bit(p->star, p->last);
        else if (c == '%')
            set_bit(p->percent, p->last);
        else
            set_bit(p->octets[(unsigned char)c], p->last);
        p->last++;
    }
    p->words = p->last / 64 + 1;
    return p;
}

// Adds the states behind wildcards that match nothing. There are no two wildcards in a row.
static void
skip_wildcards(const struct list_pattern *p, uint64_t *states)
{
    uint64_t carry = 0;
    for (size_t w = 0; w < p->words; w++) {
        uint64_t wild = states[w] & (p->star[w] | p->percent[w]);
        states[w] |= wild << 1 | carry;
        carry = wild >> 63;
    }
}

static void
step(const struct list_pattern *p, uint64_t *states, char c, bool any_case)
{
    const uint64_t *lower = p->octets[(unsigned char)(any_case ? ascii_lower(c) : c)];
    const uint64_t *upper = p->octets[(unsigned char)c];
    uint64_t carry = 0;
    for (size_t w = 0; w < p->words; w++) {
        uint64_t stay = states[w] & (c == '/' ? p->star[w] : p->star[w] | p->percent[w]);
        uint64_t move = states[w] & (lower[w] | upper[w]);
        states[w] = stay | move << 1 | carry;
        carry = move >> 63;
    }
}

bool
list_pattern_match(const struct list_pattern *p, struct span name)
{
    uint64_t states[WORDS_MAX] = {1};
    bool inbox = span_starts(name, SPAN("INBOX")) && (name.n == 5 || name.p[5] == '/');
    skip_wildcards(p, states);
    for (size_t i = 0; i < name.n; i++) {
        step(p, states, name.p[i], inbox && i < 5);
        skip_wildcards(p, states);
    }
    return states[p->last / 64] >> (p->last % 64) & 1;
}
