#include "ctl/call.h"
#include "ctl/nearest.h"
#include "ctl/option.h"
#include "ctl/output.h"
#include "ctl/verbs.h"
#include <stddef.h>

#define LOCAL(words, usage, least, most, fn, help)                                         \
    {words, usage, least, most, VERB_LOCAL, NULL, fn, NULL, NULL, help, 0, false},
#define OFFLINE(words, usage, least, most, fn, help)                                       \
    {words, usage, least, most, VERB_OFFLINE, NULL, fn, NULL, NULL, help, 0, false},
#define STORE(words, usage, least, most, run, feed, sink, help)                            \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, 0, false},
#define BEGIN(words, usage, least, most, run, feed, sink, help)                            \
    {words, usage, least, most, VERB_STORE, run, NULL, feed, sink, help, 0, true},
#define SERVER(words, usage, least, most, run, feed, sink, help)                           \
    {words, usage, least, most, VERB_SERVER, run, NULL, feed, sink, help, 0, false},
#define BOTH(words, usage, least, most, fn, where, run, feed, sink, sent, help)            \
    {words, usage, least, most, where, run, fn, feed, sink, help, sent, false},
const struct verb verbs[] = {
#include "ctl/verbs.def"
};
#undef LOCAL
#undef OFFLINE
#undef STORE
#undef BEGIN
#undef SERVER
#undef BOTH
const size_t verbs_count = sizeof verbs / sizeof verbs[0];

enum { WORDS_MAX = 64, VERB_WORDS = 3 };  // `queue add` has 2 words and takes 60

struct line {
    struct verb_options options;
    const char *words[WORDS_MAX];
    size_t n;
    const char *wrong;  // the first word that is not understood
    bool plain;         // behind "--" no word is an option
};

const struct verb *
verb_find(struct span words)
{
    for (size_t i = 0; i < verbs_count; i++)
        if (span_eq(words, span_str(verbs[i].words)))
            return &verbs[i];
    return NULL;
}

bool
verb_join(const char *const *words, size_t n, char out[VERB_WORDS_SIZE])
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && at < VERB_WORDS_SIZE; i++)
        at += (size_t)snprintf(out + at, VERB_WORDS_SIZE - at, "%s%s", i ? " " : "",
                               words[i]);
    return at < VERB_WORDS_SIZE;
}

// `acl set USER FOLDER -bob -te`: negative rights, and what is taken away.
static bool
takes_dashes(const struct line *l, struct span arg)
{
    return l->n > 3 && span_eq(span_str(l->words[0]), SPAN("acl")) &&
           !span_starts(arg, SPAN("--")) && !span_eq(arg, SPAN("-c"));
}

static bool
is_dashed(const struct line *l, struct span arg)
{
    return !l->plain && arg.n > 1 && arg.p[0] == '-' && !takes_dashes(l, arg);
}

static void
read_line(struct line *l, int argc, char **argv)
{
    for (int i = 1; i < argc;) {
        if (!l->plain && strcmp(argv[i], "--") == 0) {
            l->plain = true;
            i++;
            continue;
        }
        bool dashed = is_dashed(l, span_str(argv[i]));
        int took = l->plain ? 0 : option_read(&l->options, argc, argv, i);
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
        char words[VERB_WORDS_SIZE];
        const struct verb *v =
            verb_join(l->words, used, words) ? verb_find(span_str(words)) : NULL;
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

int
verb_wrong_arguments(const struct verb *v)
{
    output_note("error", FIELDS(field_str("code", "", fault_info(FAULT_BAD)->name),
                                field_str("message", "", "wrong arguments"),
                                field_number("exit", "", EXIT_USAGE),
                                field_str("verb", "usage: posthorn %", v->words),
                                field_str("usage", " %", v->usage),
                                field_str("help", "\n  %", v->help)));
    return EXIT_USAGE;
}

bool
verb_takes_count(const struct verb *v, size_t n)
{
    const struct option *taken[OPTIONS_MOST];
    size_t most =
        v->local != NULL ? v->sent_max : v->args_max + option_list(v->usage, taken);
    return n >= v->args_min && n <= most;
}

static int
run_on_store(const struct verb *v, const struct config *c, const struct verb_options *o,
             const char *const *args, size_t n)
{
    const struct option *taken[OPTIONS_MOST];
    const char *all[WORDS_MAX + OPTIONS_MOST];
    size_t count = option_list(v->usage, taken), k = 0;
    for (; k < n || (count > 0 && k < v->args_max); k++)
        all[k] = k < n ? args[k] : "";
    for (size_t i = 0; i < count; i++)
        all[k++] = option_argument(taken[i], o);
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
    int code = run_on_store(v, c, o, args, n);
    config_free(&c);
    return code;
}

static int
say_version(void)
{
    output_row("version", FIELDS(field_str("version", "posthorn %", POSTHORN_VERSION)));
    return 0;
}

// The first that was given and is not the verb's.
static const struct option *
stray_option(const struct verb *v, const struct verb_options *in)
{
    const struct option *taken[OPTIONS_MOST];
    size_t count = option_list(v->usage, taken);
    for (size_t i = 0; i < options_count; i++) {
        size_t k = 0;
        while (k < count && taken[k]->offset != options[i].offset)
            k++;
        if (k == count && !option_is_general(&options[i]) &&
            option_is_given(&options[i], in))
            return &options[i];
    }
    return NULL;
}

// The first whose value is empty, as of a script's variable that is not set: verbs would take it for one that was not given,
// `expire --user ""` for all users. A sender may be empty.
static const struct option *
empty_option(const struct verb_options *in)
{
    for (size_t i = 0; i < options_count; i++)
        if (options[i].value[0] != '\0' && option_is_given(&options[i], in) &&
            option_argument(&options[i], in)[0] == '\0' &&
            options[i].offset != offsetof(struct verb_options, envelope.from))
            return &options[i];
    return NULL;
}

// A verb with a function of its own looks itself.
static bool
has_required(const struct verb *v, const struct verb_options *in)
{
    const struct option *taken[OPTIONS_MOST];
    size_t count = option_list(v->usage, taken);
    for (size_t i = 0; i < count; i++)
        if (v->local == NULL && option_is_required(taken[i], v->usage) &&
            !option_is_given(taken[i], in))
            return false;
    return true;
}

static int
stray(const struct verb *v, const struct option *o)
{
    struct fault f;
    fault_set(&f, FAULT_BAD, "`%s` takes no %s; see `posthorn help %s`", v->words, o->name,
              v->words);
    return output_fault(&f, EXIT_USAGE);
}

static int
empty(const char *what)
{
    struct fault f;
    fault_set(&f, FAULT_BAD, "the value of %s is empty", what);
    return output_fault(&f, EXIT_USAGE);
}

// Of the words that may be left out: `address delete sales@x.org ""` is not about all targets.
static bool
has_empty_word(const struct verb *v, const char *const *args, size_t n)
{
    for (size_t i = v->args_min; i < n; i++)
        if (args[i][0] == '\0')
            return true;
    return false;
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
    const struct option *more = stray_option(v, &l->options),
                        *none = empty_option(&l->options);
    if (more != NULL)
        return stray(v, more);
    if (none != NULL)
        return empty(none->name);
    if (n < v->args_min || n > v->args_max || !has_required(v, &l->options))
        return verb_wrong_arguments(v);
    if (has_empty_word(v, l->words + used, n))
        return empty("an argument");
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
