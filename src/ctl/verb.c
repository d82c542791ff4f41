#include "ctl/call.h"
#include "ctl/nearest.h"
#include "ctl/option.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

#define LOCAL(words, usage, least, most, fn, help)                                         \
    {words, usage, least, most, VERB_LOCAL, NULL, fn, NULL, NULL, help, CARRIES_NOTHING},
#define OFFLINE(words, usage, least, most, fn, help)                                       \
    {words, usage, least, most, VERB_OFFLINE, NULL, fn, NULL, NULL, help, CARRIES_NOTHING},
#define STORE(words, usage, least, most, run, feed, sink, help)                            \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, CARRIES_NOTHING},
#define SERVER(words, usage, least, most, run, feed, sink, help)                           \
    {words, usage, least, most, VERB_SERVER, run, NULL, feed, sink, help, CARRIES_NOTHING},
#define CARRY(words, usage, least, most, run, feed, sink, help)                            \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, CARRIES_USER},
#define PULLS(words, usage, least, most, fn, run, feed, sink, help)                        \
    {words, usage, least, most, VERB_STORE, run, fn, feed, sink, help, CARRIES_NOTHING},
#define SINCE(words, usage, least, most, run, feed, sink, help)                            \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, CARRIES_SINCE},
#define EXPIRE(words, usage, least, most, run, feed, sink, help)                           \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, CARRIES_EXPIRE},
#define BOTH(words, usage, least, most, fn, run, feed, help)                               \
    {words, usage, least, most, VERB_OFFLINE, run, fn, feed, NULL, help, CARRIES_PART},
#define PASSWORD(words, usage, least, most, run, feed, sink, help)                         \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, CARRIES_PASSWORD},
#define FOR(words, usage, least, most, run, feed, sink, help)                              \
    {words, usage, least, most, VERB_SERVER, run, NULL, feed, sink, help, CARRIES_FOR},
#define DRY(words, usage, least, most, run, feed, sink, help)                              \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, CARRIES_DRY},
#define OWNED(words, usage, least, most, run, feed, sink, help)                            \
    {words,                                                                                \
     usage,                                                                                \
     least,                                                                                \
     most,                                                                                 \
     VERB_STORE,                                                                           \
     run,                                                                                  \
     NULL,                                                                                 \
     feed,                                                                                 \
     sink,                                                                                 \
     help,                                                                                 \
     CARRIES_OWNER + (most)-1},
#define SIEVE(words, usage, least, most, run, feed, sink, help)                            \
    {words, usage, least, most, VERB_SERVER, run, NULL, feed, sink, help, CARRIES_SIEVE},
#define TRIAL(words, usage, least, most, run, feed, sink, help)                            \
    {words, usage, least, most, VERB_SERVER, run, NULL, feed, sink, help, CARRIES_TRIAL},
const struct verb verbs[] = {
#include "ctl/verbs.def"
};
#undef LOCAL
#undef OFFLINE
#undef STORE
#undef SERVER
#undef CARRY
#undef PULLS
#undef SINCE
#undef EXPIRE
#undef BOTH
#undef DRY
#undef FOR
#undef TRIAL
#undef SIEVE
#undef PASSWORD
#undef OWNED
const size_t verbs_count = sizeof verbs / sizeof verbs[0];

enum { WORDS_MAX = 32, VERB_WORDS = 3 };

struct line {
    struct verb_options options;
    const char *words[WORDS_MAX];
    size_t n;
    const char *wrong;  // the first word that is not understood
};

const struct verb *
verb_find(struct span words)
{
    for (size_t i = 0; i < verbs_count; i++)
        if (span_eq(words, span_str(verbs[i].words)))
            return &verbs[i];
    return NULL;
}

// `acl set USER FOLDER -bob -te`: negative rights, and what is taken away.
static bool
takes_dashes(const struct line *l, struct span arg)
{
    return l->n > 3 && span_eq(span_str(l->words[0]), SPAN("acl")) &&
           !span_starts(arg, SPAN("--")) && !span_eq(arg, SPAN("-c"));
}

static void
read_line(struct line *l, int argc, char **argv)
{
    for (int i = 1; i < argc;) {
        struct span arg = span_str(argv[i]);
        bool dashed = arg.n > 1 && arg.p[0] == '-' && !takes_dashes(l, arg);
        int took = option_read(&l->options, argc, argv, i);
        if ((dashed && took == 0) || (!dashed && l->n == WORDS_MAX))
            l->wrong = l->wrong ? l->wrong : argv[i];
        if (!dashed && l->n < WORDS_MAX)
            l->words[l->n++] = argv[i];
        i += took > 0 ? took : 1;
    }
}

// The longest row that the first words name; *used_out words.
static const struct verb *
row_of(const struct line *l, size_t *used_out)
{
    for (size_t used = l->n < VERB_WORDS ? l->n : VERB_WORDS; used > 0; used--) {
        char words[128] = "";
        size_t at = 0;
        for (size_t i = 0; i < used && at < sizeof words; i++)
            at += (size_t)snprintf(words + at, sizeof words - at, "%s%s", i ? " " : "",
                                   l->words[i]);
        const struct verb *v = at < sizeof words ? verb_find(span_str(words)) : NULL;
        *used_out = used;
        if (v != NULL)
            return v;
    }
    return NULL;
}

static int
not_understood(const char *word)
{
    struct fault f;
    fault_set(&f, FAULT_BAD, "'%.100s' is not understood; see `posthorn help`", word);
    return output_fault(&f, EXIT_USAGE);
}

static int
unknown_verb(const struct line *l)
{
    char typed[128];
    struct fault f;
    snprintf(typed, sizeof typed, "%s%s%s", l->words[0], l->n > 1 ? " " : "",
             l->n > 1 ? l->words[1] : "");
    struct nearest near = nearest_start(span_str(typed)),
                   first = nearest_start(span_str(l->words[0]));
    for (size_t i = 0; i < verbs_count; i++) {
        nearest_offer(&near, verbs[i].words);
        nearest_offer(&first, verbs[i].words);
        if (span_starts(span_str(verbs[i].words), span_str(l->words[0])))
            output_note("verb", FIELDS(field_str("verb", "  posthorn %", verbs[i].words),
                                       field_str("usage", " %", verbs[i].usage)));
    }
    const char *best =
        nearest_answer(&near) ? nearest_answer(&near) : nearest_answer(&first);
    if (best != NULL)
        fault_set(&f, FAULT_BAD, "there is no verb '%.60s'; did you mean '%s'?", typed,
                  best);
    else
        fault_set(&f, FAULT_BAD, "there is no verb '%.60s'; `posthorn help` lists them",
                  typed);
    return output_fault(&f, EXIT_USAGE);
}

static int
wrong_arguments(const struct verb *v)
{
    output_note("error", FIELDS(field_str("code", "", fault_info(FAULT_BAD)->name),
                                field_str("message", "", "wrong arguments"),
                                field_number("exit", "", EXIT_USAGE),
                                field_str("verb", "usage: posthorn %", v->words),
                                field_str("usage", " %", v->usage),
                                field_str("help", "\n  %", v->help)));
    return EXIT_USAGE;
}

// What becomes arguments: the verb's words, its options, and --dry-run, --read-only, --trace; "" for each that was not given.
struct carry {
    size_t words;
    size_t options[2];  // offsets
    size_t option_count;
    bool dry_run, read_only, trace;
};

static const struct carry carries[] = {
    [CARRIES_USER] = {2,
                      {offsetof(struct verb_options, user),
                       offsetof(struct verb_options, folder)},
                      2},
    [CARRIES_SINCE] = {1,
                       {offsetof(struct verb_options, since),
                        offsetof(struct verb_options, folder)},
                       2,
                       true},
    [CARRIES_EXPIRE] = {0, {offsetof(struct verb_options, user)}, 1, true},
    [CARRIES_DRY] = {.words = 2, .dry_run = true},
    [CARRIES_PASSWORD] = {2,
                          {offsetof(struct verb_options, protocol),
                           offsetof(struct verb_options, expires)},
                          2,
                          .read_only = true},
    [CARRIES_FOR] = {2, {offsetof(struct verb_options, time)}, 1},
    [CARRIES_OWNER] = {0, {offsetof(struct verb_options, user)}, 1},
    [CARRIES_OWNER_1] = {1, {offsetof(struct verb_options, user)}, 1},
    [CARRIES_OWNER_2] = {2, {offsetof(struct verb_options, user)}, 1},
    [CARRIES_TRIAL] = {1,
                       {offsetof(struct verb_options, service),
                        offsetof(struct verb_options, address)},
                       2},
    [CARRIES_SIEVE] = {.words = 3, .dry_run = true, .trace = true},
    [CARRIES_PART] = {.words = 1},
};

static int
run_carrying(const struct verb *v, const struct config *c, const struct verb_options *o,
             const char *const *args, size_t n)
{
    const struct carry *carry = &carries[v->carries];
    const char *all[WORDS_MAX];
    size_t k = 0;
    if (v->carries == CARRIES_NOTHING)
        return call_run_on_store(c, v, args, n);
    for (; k < carry->words; k++)
        all[k] = k < n ? args[k] : "";
    for (size_t i = 0; i < carry->option_count; i++) {
        const char *given = *(const char *const *)((const char *)o + carry->options[i]);
        all[k++] = given ? given : "";
    }
    if (carry->dry_run)
        all[k++] = o->dry_run ? "dry-run" : "";
    if (carry->read_only)
        all[k++] = o->read_only ? "read-only" : "";
    if (carry->trace)
        all[k++] = o->trace ? "trace" : "";
    return call_run_on_store(c, v, all, k);
}

static int
run(const struct verb *v, const struct verb_options *o, const char *const *args, size_t n)
{
    if (v->local != NULL)
        return v->local(o, args, n);
    struct config *c;
    struct fault f;
    if (verb_config(o, &c, &f) != R_OK)
        return output_fault(&f, 1);
    int code = run_carrying(v, c, o, args, n);
    config_free(&c);
    return code;
}

static int
say_version(void)
{
    output_row("version", FIELDS(field_str("version", "posthorn %", POSTHORN_VERSION)));
    return 0;
}

// One message at most, a UID in its folder, and all of it of a user.
static bool
is_part(const struct verb_options *o)
{
    int selectors = (o->uid != NULL) + (o->message_id != NULL) + (o->emailid != NULL);
    if (o->user == NULL)
        return selectors == 0 && o->folder == NULL && o->to == NULL && !o->dry_run;
    return selectors <= 1 && (o->folder != NULL || (selectors == 1 && o->uid == NULL));
}

// The options fill what the words leave open.
static bool
are_carried(const struct verb *v, const struct line *l, size_t n)
{
    if (v->carries != CARRIES_NOTHING && n > carries[v->carries].words)
        return false;
    if (v->carries >= CARRIES_OWNER && v->carries <= CARRIES_OWNER_2)
        return l->options.user && n == carries[v->carries].words;
    if (v->carries == CARRIES_USER)
        return l->options.user;
    return v->carries != CARRIES_PART || is_part(&l->options);
}

static int
follow(const struct line *l)
{
    size_t used;
    if (l->wrong != NULL)
        return not_understood(l->wrong);
    if (l->options.version)
        return say_version();
    const struct verb *v = row_of(l, &used);
    if (l->n == 0 || l->options.help)
        return verb_help(&l->options, l->words, v ? used : l->n);
    if (v == NULL)
        return unknown_verb(l);
    size_t n = l->n - used;
    if (n < v->args_min || n > v->args_max || !are_carried(v, l, n))
        return wrong_arguments(v);
    return run(v, &l->options, l->words + used, n);
}

int
verb_main(int argc, char **argv)
{
    struct line l = {0};
    read_line(&l, argc, argv);
    output_open(l.options.json);
    return output_close(follow(&l));
}
