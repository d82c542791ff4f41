// What the text index costs and gives: text_bench MBOX FOLDER [NEEDLE...]. CPU per message of the streams, of indexing and of
// merging; octets of the index; time, candidates and matches of each needle. DRAW=n: candidates and matches of n needles drawn from the
// mail, by kind and size; WIDE=1 shows those that narrow badly. MERGE=1: segments are merged as those of an account that is often asked.

#include "base/limits.h"
#include "io/loop.h"
#include "mime/charset.h"
#include "mime/text.h"
#include "search/text_index.h"
#include "search/text_words.h"
#include "store/embedded.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum { ACCOUNT = 1, PUT_AT = 24 << 20 };

struct mail {
    struct span octets;
    struct span header, index;  // in the arena
    struct mime_summary summary;
};

struct bench {
    struct arena *a;
    struct mail *mails;
    size_t n, room, octets;
    struct text_index *ti;
};

static double
cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
must_ok(enum result r, const struct fault *f)
{
    if (r == R_OK)
        return;
    fprintf(stderr, "%s\n", f->why);
    exit(1);
}

// ---- mail ----

static void
add_mail(struct bench *b, struct span octets)
{
    if (b->n == b->room) {
        b->room = b->room > 0 ? b->room * 2 : 1024;
        b->mails = realloc(b->mails, b->room * sizeof *b->mails);
        must(b->mails != NULL);
    }
    b->mails[b->n++] = (struct mail){.octets = octets};
    b->octets += octets.n;
}

static void
read_mbox(struct bench *b, const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    must(fd >= 0 && fstat(fd, &st) == 0);
    char *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    must(p != MAP_FAILED);
    struct span rest = span_of(p, (size_t)st.st_size);
    while (rest.n > 0) {
        struct span line = span_slice(rest, 0, span_find_char(rest, '\n') + 1);
        struct span mail = span_skip(rest, line.n);
        mail.n = span_find(mail, SPAN("\n\nFrom ")) + 1;
        if (mail.n > rest.n - line.n)
            mail.n = rest.n - line.n;
        add_mail(b, mail);
        rest = span_skip(rest, line.n + mail.n);
        if (rest.n > 0 && *rest.p == '\n')
            rest = span_skip(rest, 1);
    }
    close(fd);
}

static void
scan_mail(struct bench *b, struct mail *m)
{
    struct arena *scratch = arena_new();
    struct mime_scan *scan = mime_scan_new(scratch);
    struct buf out;
    struct fault f;
    mime_scan_feed(scan, m->octets);
    const struct mime_part *root = mime_scan_end(scan);
    buf_init(&out, 1 << 24);
    mime_index_put(&out, root);
    m->index = arena_dup(b->a, buf_span(&out));
    m->header = span_slice(m->octets, 0, (size_t)root->header.size);
    buf_reset(&out);
    mime_summary_put(&out, root);
    must_ok(mime_summary_get(arena_dup(b->a, buf_span(&out)), &m->summary, &f), &f);
    buf_done(&out);
    arena_free(&scratch);
}

static void
feed_mail(struct mime_streams *s, const struct mail *m, bool fields)
{
    struct mime_index_iter it;
    struct mime_index_part part;
    struct fault f;
    if (fields)
        (void)mime_streams_summary(s, &m->summary);
    mime_streams_fields(s, MIME_ZONE_HEADER, m->header);
    must_ok(mime_index_begin(&it, m->index, &f), &f);
    while (mime_index_next(&it, &part, &f) == R_OK) {
        if (part.root && part.depth > 0)
            mime_streams_fields(
                s, MIME_ZONE_NESTED,
                span_slice(m->octets, part.header.at, part.header.at + part.header.size));
        if (!mime_text_searchable(&part))
            continue;
        mime_streams_part_begin(s, &part);
        mime_streams_part_feed(
            s, span_slice(m->octets, part.body.at, part.body.at + part.body.size));
        mime_streams_part_end(s);
    }
}

// ---- indexing ----

static void
no_begin(void *arg, unsigned lane, enum mime_zone zone)
{
    (void)arg, (void)lane, (void)zone;
}

static void
no_feed(void *arg, unsigned lane, struct span folded)
{
    (void)lane;
    *(uint64_t *)arg += folded.n;
}

static void
no_end(void *arg, unsigned lane)
{
    (void)arg, (void)lane;
}

static void
measure_streams(struct bench *b)
{
    uint64_t octets = 0;
    struct mime_text_sink sink = {no_begin, no_feed, no_end, &octets};
    double before = cpu_us();
    struct mime_streams *s = mime_streams_new(&sink);
    mime_streams_keep(s, true);
    for (size_t i = 0; i < b->n; i++)
        feed_mail(s, &b->mails[i], true);
    mime_streams_free(&s);
    printf("streams alone: %.1f us of CPU a message, %llu octets of text\n",
           (cpu_us() - before) / (double)b->n, (unsigned long long)octets);
}

static void
measure_index(struct bench *b)
{
    struct text_builder *builder = text_builder_new();
    struct mime_text_sink sink = text_builder_sink(builder);
    struct mime_streams *s = mime_streams_new(&sink);
    struct text_merge_wish wish = {.soon = getenv("MERGE") != NULL};
    double build = 0, put = 0, merge = 0, at = cpu_us(), now;
    size_t most = 0;
    struct fault f;
    mime_streams_keep(s, true);
    for (size_t i = 0; i < b->n; i++) {
        text_builder_begin(builder, i + 1);
        feed_mail(s, &b->mails[i], true);
        text_builder_end(builder, 0);
        if (text_builder_gathered(builder) < PUT_AT && i + 1 < b->n)
            continue;
        most = text_builder_octets(builder) > most ? text_builder_octets(builder) : most;
        build += (now = cpu_us()) - at;
        must_ok(text_index_put(b->ti, builder, &f), &f);
        put += (at = cpu_us()) - now;
        while (text_index_merge(b->ti, &wish, &f) == R_OK)
            ;
        merge += (now = cpu_us()) - at;
        at = now;
    }
    double n = (double)b->n;
    printf("indexing: streams and words %.1f, segments %.1f, merges %.1f us of CPU a "
           "message; builder %zu octets at most\n",
           build / n, put / n, merge / n, most);
    mime_streams_free(&s);
    text_builder_free(&builder);
}

static void
show_stats(const struct bench *b)
{
    struct text_stats s;
    text_index_stats(b->ti, &s);
    printf("index: %llu messages, mail %zu, text %llu, index %llu octets (%.2f of the "
           "text, %.2f of the mail), %llu terms, %u segments, "
           "open it holds %zu octets\n",
           (unsigned long long)s.documents, b->octets, (unsigned long long)s.text_octets,
           (unsigned long long)s.octets, (double)s.octets / (double)s.text_octets,
           (double)s.octets / (double)b->octets, (unsigned long long)s.terms, s.segments,
           text_index_memory(b->ti));
}

// ---- finding ----

static size_t
count_matches(const struct bench *b, const char *needle)
{
    struct span n = span_str(needle);
    struct mime_text_search *s = mime_text_search_new(&n, 1, COLLATION_CASEMAP);
    size_t matches = 0;
    for (size_t i = 0; i < b->n; i++) {
        mime_text_reset(s);
        feed_mail(mime_text_streams(s), &b->mails[i], false);
        matches += mime_text_found(s, 0);
    }
    mime_text_search_free(&s);
    return matches;
}

static void
find(struct bench *b, const char *needle, bool verify)
{
    struct buf folded;
    struct fault f;
    double best = 1e12, best_of = 1e12;
    size_t candidates = 0, sure = 0;
    buf_init(&folded, 1 << 20);
    mime_fold(&folded, span_str(needle));
    struct text_lookup l = {buf_span(&folded), MIME_ZONES_TEXT, false};
    for (int round = 0; round < 5; round++) {
        struct text_found *found;
        double at = cpu_us();
        must_ok(text_index_find(b->ti, &l, 1, &found, &f), &f);
        double then = cpu_us();
        candidates = sure = 0;
        for (size_t i = 0; i < b->n; i++) {
            enum text_answer a = text_found_of(found, 0, i + 1);
            candidates += a >= TEXT_MAYBE;
            sure += a == TEXT_YES;
        }
        double end = cpu_us();
        best = then - at < best ? then - at : best;
        best_of = end - then < best_of ? end - then : best_of;
        text_found_free(&found);
    }
    printf("%-34s %9.2f ms, asking for all %5.2f ms, %6zu candidates (%zu certain)", needle,
           best / 1e3, best_of / 1e3, candidates, sure);
    if (verify) {
        size_t matches = count_matches(b, needle);
        printf(", %zu matches%s", matches, candidates < matches ? " WRONG" : "");
    }
    printf("\n");
    buf_done(&folded);
}

// ---- how far the index narrows: needles drawn from the mail ----

enum { DRAW_MIN = 3, DRAW_MAX = 40, KINDS = 4, SIZES = 4 };

struct drawn {
    size_t needles, candidates, matches;
    size_t wide;  // needles with more than twice as many candidates as matches
};

static uint64_t seed = 1;

static size_t
below(size_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % n;
}

// Takes the stream that the countdown ends at.
struct pick {
    struct buf text;
    size_t left;
};

static void
pick_begin(void *arg, unsigned lane, enum mime_zone zone)
{
    struct pick *p = arg;
    (void)lane;
    if (p->left > 0 && (zone & MIME_ZONES_TEXT))
        p->left--;
}

static void
pick_feed(void *arg, unsigned lane, struct span folded)
{
    struct pick *p = arg;
    if (p->left == 0 && lane == 0)
        buf_put(&p->text, folded);
}

static void
pick_end(void *arg, unsigned lane)
{
    (void)arg, (void)lane;
}

static bool
is_border(struct span s, size_t at)
{
    return at == s.n || ((unsigned char)s.p[at] & 0xC0) != 0x80;
}

// A piece of a message's text: a body as often as a header.
static struct span
draw(struct bench *b, struct buf *text)
{
    struct pick pick = {.left = below(2) ? 1 + below(20) : 20 + below(15)};
    struct mime_text_sink sink = {pick_begin, pick_feed, pick_end, &pick};
    struct mime_streams *s = mime_streams_new(&sink);
    buf_init(&pick.text, 1 << 24);
    feed_mail(s, &b->mails[below(b->n)], false);
    mime_streams_free(&s);
    struct span all = buf_span(&pick.text), piece = SPAN_NONE;
    size_t n = DRAW_MIN + below(DRAW_MAX - DRAW_MIN + 1);
    if (all.n > n) {
        size_t from = below(all.n - n);
        piece = span_slice(all, from, from + n);
        if (!is_border(all, from) || !is_border(all, from + n))
            piece = SPAN_NONE;
    }
    buf_reset(text);
    buf_put(text, piece);
    buf_done(&pick.text);
    return buf_span(text);
}

static size_t
kind_of(struct span needle)
{
    size_t words = 0, octets;
    bool gap = true, gaps = false;
    for (; needle.n > 0; needle = span_skip(needle, octets)) {
        bool here = text_class_of(needle, &octets) == TEXT_GAP;
        words += gap && !here;
        gaps = gaps || here;
        gap = here;
    }
    return !gaps ? 0 : words < 2 ? 1 : words == 2 ? 2 : 3;
}

static size_t
verify(struct bench *b, struct span needle, struct text_found *found, size_t *candidates)
{
    struct mime_text_search *s = mime_text_search_new(&needle, 1, COLLATION_CASEMAP);
    size_t matches = 0;
    for (size_t i = 0; i < b->n; i++) {
        enum text_answer a = text_found_of(found, 0, i + 1);
        *candidates += a >= TEXT_MAYBE;
        matches += a == TEXT_YES;
        if (a != TEXT_MAYBE)
            continue;
        mime_text_reset(s);
        feed_mail(mime_text_streams(s), &b->mails[i], false);
        matches += mime_text_found(s, 0);
    }
    mime_text_search_free(&s);
    return matches;
}

static void
draw_one(struct bench *b, struct span needle, struct drawn all[KINDS][SIZES])
{
    struct text_lookup l = {needle, MIME_ZONES_TEXT, false};
    struct text_found *found;
    struct fault f;
    size_t candidates = 0, n = needle.n;
    struct drawn *d = &all[kind_of(needle)][n < 6 ? 0 : n < 11 ? 1 : n < 21 ? 2 : 3];
    must_ok(text_index_find(b->ti, &l, 1, &found, &f), &f);
    size_t matches = verify(b, needle, found, &candidates);
    text_found_free(&found);
    d->needles++;
    d->candidates += candidates;
    d->matches += matches;
    d->wide += candidates > 2 * matches;
    if (candidates > 2 * matches && getenv("WIDE"))
        printf("%zu of %zu: \"%.*s\"\n", matches, candidates, SPAN_ARG(needle));
}

static void
draw_all(struct bench *b, size_t n)
{
    static const char *const kinds[] = {"in a word", "signs beside a word", "two words",
                                        "more words"};
    static const char *const sizes[] = {"3-5", "6-10", "11-20", "21-40"};
    struct drawn all[KINDS][SIZES] = {0}, sum = {0};
    struct buf text;
    buf_init(&text, DRAW_MAX + 1);
    for (size_t i = 0; i < n;) {
        struct span needle = draw(b, &text);
        if (needle.n == 0)
            continue;
        draw_one(b, needle, all);
        i++;
    }
    buf_done(&text);
    for (size_t k = 0; k < KINDS; k++)
        for (size_t i = 0; i < SIZES; i++) {
            const struct drawn *d = &all[k][i];
            printf("%-20s %-6s %5zu needles, %8zu candidates, %8zu matches: %.2f; %zu "
                   "above 2\n",
                   kinds[k], sizes[i], d->needles, d->candidates, d->matches,
                   (double)d->candidates / (double)(d->matches + (d->matches == 0)),
                   d->wide);
            sum.candidates += d->candidates;
            sum.matches += d->matches;
            sum.wide += d->wide;
        }
    printf("all: %.2f; %zu of %zu above 2\n", (double)sum.candidates / (double)sum.matches,
           sum.wide, n);
}

int
main(int argc, char **argv)
{
    struct bench b = {.a = arena_new()};
    struct fault f;
    struct store *store;
    if (argc < 3)
        return 2;
    struct loop *loop = loop_new();
    struct store_options o = {.engine = "embedded", .path = argv[2]};
    (void)loop;
    must_ok(store_open(&o, &store, &f), &f);
    must_ok(text_index_open(store, ACCOUNT, &b.ti, &f), &f);
    read_mbox(&b, argv[1]);
    for (size_t i = 0; i < b.n; i++)
        scan_mail(&b, &b.mails[i]);
    struct text_stats s;
    text_index_stats(b.ti, &s);
    if (s.documents == 0) {
        measure_streams(&b);
        measure_index(&b);
    }
    show_stats(&b);
    for (int i = 3; i < argc; i++)
        find(&b, argv[i], !getenv("QUICK"));
    if (getenv("DRAW"))
        draw_all(&b, strtoul(getenv("DRAW"), NULL, 10));
    text_index_close(&b.ti);
    store_close(&store);
    return 0;
}
