// A load generator for any IMAP and LMTP server: load OPERATION [--option value] ...
// Prints one line: the operations a second, the time each took, and what the server spent on them.

#include "bench/load.h"

#include "bench/tls.h"

static const struct op ops[] = {
#define OP(name, kind, prepare, command, what) {name, OP_##kind, prepare, command, what},
#include "bench/ops.def"
#undef OP
};

static const struct option_row {
    const char *name;
    bool text;
    size_t at;
    const char *what;
} options[] = {
#define OPTION(name, type, value, what)                                                    \
    {#name, _Generic((type){0}, const char *: true, default: false), offsetof(struct load, name), what},
#include "bench/options.def"
#undef OPTION
};

const struct op *
op_find(const char *name)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].name, name) == 0)
            return &ops[i];
    return NULL;
}

void
op_list(void)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        printf("%-16s %s\n", ops[i].name, ops[i].what);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        printf("--%-14s %s\n", options[i].name, options[i].what);
}

static bool
set_option(struct load *l, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (strncmp(name, "--", 2) != 0 || strcmp(options[i].name, name + 2) != 0)
            continue;
        void *at = (char *)l + options[i].at;
        if (!options[i].text)
            return span_to_u64(span_str(value), at) == R_OK;
        *(const char **)at = value;
        return true;
    }
    return false;
}

// The growth of a figure, for each of n.
static double
growth(uint64_t before, uint64_t after, double n)
{
    return ((double)after - (double)before) / n;
}

static void
report_tree(const struct measured *m, double n)
{
    const struct tree *a = &m->before, *b = &m->after;
    double tables = growth(a->page_tables_kb, b->page_tables_kb, n);
    printf(" cpu=%.1f written=%.0f memory=%.2f rss=%.2f processes=%lu",
           growth(a->cpu_us, b->cpu_us, n), growth(a->written, b->written, n),
           growth(a->pss_kb, b->pss_kb, n) + tables,
           growth(a->rss_kb, b->rss_kb, n) + tables, (unsigned long)b->processes);
}

static void
report(const struct load *l, struct measured *m)
{
    double seconds = (double)m->us / 1e6, n = m->count > 0 ? (double)m->count : 1;
    printf("op=%s n=%lu rate=%.1f messages=%.0f mb=%.1f octets=%.0f p50=%.3f p99=%.3f",
           l->op->name, (unsigned long)m->count, n / seconds,
           n * (double)l->range / seconds, (double)m->received / 1e6 / seconds,
           (double)m->received / n, tally_ms(&m->tally, 50), tally_ms(&m->tally, 99));
    if (op_delivers(l->op))
        printf(" data_p50=%.3f data_p99=%.3f", tally_ms(&m->data, 50),
               tally_ms(&m->data, 99));
    if (l->noop > 0)
        printf(" noop=%.3f noop_p99=%.3f noops=%zu", tally_ms(&m->noop, 100),
               tally_ms(&m->noop, 99), m->noop.n);
    if (l->resume > 0)
        printf(" resumed=%lu", (unsigned long)m->resumed);
    if (l->tree > 0)
        report_tree(m, n);
    printf("\n");
}

static int
usage(const char *why)
{
    fprintf(stderr, "load: %s\nload OPERATION [--option value] ...\n", why);
    op_list();
    return 2;
}

int
main(int argc, char **argv)
{
    struct load l = {
#define OPTION(name, type, value, what) .name = value,
#include "bench/options.def"
#undef OPTION
    };
    struct measured m = {0};
    struct fault f = {0};
    if (argc < 2 || argc % 2 != 0 || (l.op = op_find(argv[1])) == NULL)
        return usage("which operation?");
    for (int i = 2; i < argc; i += 2)
        if (!set_option(&l, argv[i], argv[i + 1]))
            return usage(argv[i]);
    if (l.sessions == 0 || l.users == 0 || l.pool == 0 || l.range == 0)
        return usage("a count is 0");
    if (l.op->kind == OP_OPENSSL) {
        handshake_measure(l.count);
        return 0;
    }
    if (l.mbox[0] == '\0')
        l.corpus = corpus_new(l.seed, l.pool, l.size);
    else if (corpus_read(l.mbox, l.op->kind == OP_LMTP, &l.corpus, &f) != R_OK)
        return usage(f.why);
    enum result r = crowd_run(&l, &m, &f);
    if (r == R_OK)
        report(&l, &m);
    else
        fprintf(stderr, "load: %s: %s\n", l.op->name, f.why);
    tally_done(&m.tally);
    tally_done(&m.data);
    tally_done(&m.noop);
    corpus_free(&l.corpus);
    return r == R_OK ? 0 : 1;
}
