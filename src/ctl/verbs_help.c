#include "ctl/call.h"
#include "ctl/option.h"
#include "ctl/output.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"
#include "os/role.h"

// The tables of verbs, options, settings and roles, as text and as rows; dist/man makes the manual pages of the rows.

enum { HELP_COLUMN = 30 };

struct topic {
    const char *word, *heading, *help;
};

#define TOPIC(word, heading, help) {word, heading, help},
static const struct topic topics[] = {
#include "ctl/topics.def"
};
#undef TOPIC

static const char *const kinds[] = {
    [SETTING_TEXT] = "text",    [SETTING_CHOICE] = "choice", [SETTING_SWITCH] = "choice",
    [SETTING_BOOL] = "boolean", [SETTING_NUMBER] = "number", [SETTING_SIZE] = "size",
    [SETTING_TIME] = "time",    [SETTING_LIST] = "list",
};
static const char *const wheres[] = {
    [VERB_LOCAL] = "command",
    [VERB_STORE] = "both",
    [VERB_SERVER] = "server",
    [VERB_OFFLINE] = "offline",
};

// The help stands in a column of its own, or below a long usage.
static void
print_verb(const struct verb *v)
{
    bool fits = strlen(v->words) + 1 + strlen(v->usage) <= HELP_COLUMN;
    output_row("verb", FIELDS(field_str("verb", "  %", v->words),
                              field_str("usage", v->usage[0] ? "@6>%" : "", v->usage),
                              field_str("where", "", wheres[v->where]),
                              field_str("help", fits ? "@33>%" : "\n@8>%", v->help)));
}

static void
print_option(const struct option *o)
{
    output_row("option", FIELDS(field_str("option", "  %", o->name),
                                field_str("value", o->value[0] ? " %" : "", o->value),
                                field_flag("general", "", option_is_general(o)),
                                field_str("help", "@33>%", o->help)));
}

static void
print_setting(const struct setting *s)
{
    output_row(
        "setting",
        FIELDS(field_str("setting", "  %", s->name),
               field_str("kind", " (%", kinds[s->kind]),
               field_str("words", s->words[0] ? ": %" : "", s->words),
               field_str("default", s->normal[0] ? ", default %" : "", s->normal),
               field_flag("restart", ", needs a restart", s->change == SETTING_RESTART),
               field_str(NULL, "%", ")"), field_str("help", "\n@8>%", s->text)));
}

static void
print_role(const struct role *r)
{
    output_row("role", FIELDS(field_str("role", "  %", r->name),
                              field_str("help", "@33>%", r->text)));
}

static void
print_topic(const struct topic *t)
{
    output_row(
        "topic",
        FIELDS(field_if(t->heading[0] != '\0', field_str("heading", "\n%\n", t->heading)),
               field_str("topic", "  %", t->word), field_str("help", "@17>%", t->help)));
}

static void
print_words(const char *words)
{
    output_row("text", FIELDS(field_str(NULL, "%", words)));
}

static bool
any_verb_takes(const struct option *o, struct span word)
{
    for (size_t i = 0; i < verbs_count; i++)
        if (span_starts(span_str(verbs[i].words), word) && option_is_in(o, verbs[i].usage))
            return true;
    return false;
}

static size_t
print_verbs(struct span word)
{
    struct span asked = span_eq(word, SPAN("all")) ? SPAN("") : word;
    size_t n = 0;
    for (size_t i = 0; i < verbs_count; i++)
        if (span_starts(span_str(verbs[i].words), asked)) {
            print_verb(&verbs[i]);
            n++;
        }
    for (size_t i = 0; i < options_count; i++)
        if (any_verb_takes(&options[i], asked) ||
            (asked.n == 0 && option_is_general(&options[i])))
            print_option(&options[i]);
    return n;
}

static size_t
print_settings(struct span word)
{
    bool all = span_eq(word, SPAN("settings"));
    size_t n = 0;
    for (size_t i = 0; i < settings_count; i++)
        if (!setting_is_hidden(&settings[i]) &&
            (all || span_starts(span_str(settings[i].name), word))) {
            print_setting(&settings[i]);
            n++;
        }
    return n;
}

static size_t
print_roles(struct span word)
{
    size_t n = 0;
    for (; span_eq(word, SPAN("roles")) && role_at(n) != NULL; n++)
        print_role(role_at(n));
    return n;
}

static void
print_topics(void)
{
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        print_topic(&topics[i]);
    print_words(
        "\n`posthorn help WORD` tells all about one of these, or about a setting:\n"
        "  posthorn help user            posthorn help mailbox undelete\n"
        "  posthorn help tls.key         posthorn help settings\n"
        "  posthorn help roles           posthorn help all\n"
        "The same is in the manual pages posthorn(1), posthorn.conf(5), posthorn(8).\n"
        "\n"
        "Verbs take -c FILE (default /etc/posthorn/posthorn.conf) or --data DIR; while a\n"
        "server runs on that data they reach it, else they work on the data themselves.\n"
        "--json: one JSON object per line, errors too (on standard error).\n"
        "Behind -- no word is an option: posthorn mailbox create ann -- -x\n"
        "Exit code: 0 done, 1 failed, 2 wrong usage.");
}

static int
print_all_of(struct span word)
{
    struct fault f;
    if (print_verbs(word) + print_settings(word) + print_roles(word) > 0)
        return 0;
    fault_set(&f, FAULT_BAD, "there is no verb or setting '%.100s'; see `posthorn help`",
              word.p);
    return output_fault(&f, EXIT_USAGE);
}

int
verb_help(const struct verb_options *o, const char *const *args, size_t n)
{
    char word[VERB_WORDS_SIZE];
    (void)o;
    (void)verb_join(args, n, word);  // one that was cut is nothing's name
    if (n > 0)
        return print_all_of(span_str(word));
    print_words("posthorn " POSTHORN_VERSION ", a mail server");
    print_topics();
    return 0;
}
