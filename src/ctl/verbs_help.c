#include "ctl/option.h"
#include "ctl/output.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"
#include "os/role.h"

// The tables of verbs, options, settings and roles, as text and as rows; dist/man makes the manual pages of the rows.

enum { HELP_COLUMN = 30 };

static const char *const kinds[] = {
    [SETTING_TEXT] = "text",    [SETTING_CHOICE] = "choice", [SETTING_LIST] = "list",
    [SETTING_BOOL] = "boolean", [SETTING_NUMBER] = "number", [SETTING_SIZE] = "size",
    [SETTING_TIME] = "time",
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
                              field_str("usage", v->usage[0] ? " %" : "", v->usage),
                              field_str("where", "", wheres[v->where]),
                              field_str("help", fits ? "@33%" : "\n@33%", v->help)));
}

static void
print_option(const struct option *o)
{
    output_row("option", FIELDS(field_str("option", "  %", o->name),
                                field_str("value", o->value[0] ? " %" : "", o->value),
                                field_flag("general", "", option_is_general(o)),
                                field_str("help", "@33%", o->help)));
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
               field_str(NULL, "%", ")"), field_str("help", "\n@33%", s->text)));
}

static void
print_role(const struct role *r)
{
    output_row("role", FIELDS(field_str("role", "  %", r->name),
                              field_str("help", "@33%", r->text)));
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

static void
print_verbs(struct span word)
{
    for (size_t i = 0; i < verbs_count; i++)
        if (span_starts(span_str(verbs[i].words), word))
            print_verb(&verbs[i]);
    for (size_t i = 0; i < options_count; i++)
        if (any_verb_takes(&options[i], word) ||
            (word.n == 0 && option_is_general(&options[i])))
            print_option(&options[i]);
}

static void
print_settings(struct span word)
{
    bool all = span_eq(word, SPAN("settings"));
    for (size_t i = 0; i < settings_count; i++)
        if (!setting_is_hidden(&settings[i]) &&
            (all || span_starts(span_str(settings[i].name), word)))
            print_setting(&settings[i]);
}

int
verb_help(const struct verb_options *o, const char *const *args, size_t n)
{
    struct span word = n > 0 ? span_str(args[0]) : SPAN_NONE;
    (void)o;
    print_words("posthorn " POSTHORN_VERSION ", a mail server\n");
    print_verbs(word);
    if (n > 0)
        print_settings(word);
    for (size_t i = 0; span_eq(word, SPAN("roles")) && role_at(i) != NULL; i++)
        print_role(role_at(i));
    print_words(
        "\nVerbs take -c FILE (default /etc/posthorn/posthorn.conf) or --data DIR; "
        "while a server runs on that\n"
        "data they reach it, else they work on the data themselves.\n"
        "`posthorn help settings` tells of all settings, `posthorn help SETTING` of one.\n"
        "--json: one JSON object per line, errors too (on standard error). Exit code: 0 "
        "done, 1 failed, 2 wrong usage.");
    return 0;
}
