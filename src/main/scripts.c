#include "main/process.h"
#include "base/limits.h"
#include "mail/filter_event.h"

#include <dirent.h>
#include <errno.h>

// The administrator's Sieve scripts: read by the supervisor, since the role mail sees its data only, and packed for it: a word
// that says when they run, a name, a text, and so on.

static struct span
base_name(const char *path)
{
    struct span s = span_str(path);
    s = span_skip(s, span_behind_last(s, '/'));
    return span_ends(s, SPAN(".sieve")) ? span_slice(s, 0, s.n - 6) : s;
}

// `name` p NULL: the file's.
static enum result
put_named(const char *when, struct span name, const char *path, struct buf *out,
          struct fault *f)
{
    struct buf text;
    buf_init(&text, LIMIT_sieve_script + 1);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fault_errno(f, FAULT_BAD, path);
    char *room = buf_reserve(&text, LIMIT_sieve_script + 1);
    must(room != NULL);
    text.n = fread(room, 1, LIMIT_sieve_script + 1, file);
    bool wrong = ferror(file) != 0 || text.n > LIMIT_sieve_script;
    fclose(file);
    if (!wrong) {
        pack_span(out, span_str(when));
        pack_span(out, name.p ? name : base_name(path));
        pack_span(out, buf_span(&text));
    }
    buf_done(&text);
    if (wrong)
        return fault_set(f, FAULT_BAD, "%.120s cannot be read, or is larger than %d octets",
                         path, LIMIT_sieve_script);
    return out->over ? fault_set(f, FAULT_LIMIT,
                                 "all Sieve scripts are larger than %d octets together",
                                 LIMIT_config_packed)
                     : R_OK;
}

static enum result
put_file(const char *when, const char *path, struct buf *out, struct fault *f)
{
    return put_named(when, SPAN_NONE, path, out, f);
}

// Scripts of IMAP commands: the rule is the name.
static enum result
put_rules(const struct config_list *rules, struct buf *out, struct fault *f)
{
    enum result r = R_OK;
    for (size_t i = 0; r == R_OK && i < rules->n; i++) {
        struct filter_event_rule rule;
        struct fault why;
        if (filter_event_rule_read(span_str(rules->items[i]), &rule, &why) != R_OK)
            r = fault_set(f, FAULT_BAD, "imapsieve: %s", why.why);
        else
            r = put_named("imap", span_str(rules->items[i]), rule.file.p, out, f);
    }
    return r;
}

static int
is_script(const struct dirent *entry)
{
    struct span name = span_str(entry->d_name);
    return name.p[0] != '.' && span_ends(name, SPAN(".sieve"));
}

// A file, or those of a folder in the order of their names.
static enum result
put_path(const char *when, const char *path, struct buf *out, struct fault *f)
{
    struct dirent **list = NULL;
    enum result r = R_OK;
    int n = scandir(path, &list, is_script, alphasort);
    if (n < 0 && errno == ENOTDIR)
        return put_file(when, path, out, f);
    if (n < 0)
        return fault_errno(f, FAULT_BAD, path);
    for (int i = 0; i < n; i++) {
        struct buf file;
        buf_init(&file, 8192);
        buf_printf(&file, "%s/%s", path, list[i]->d_name);
        buf_put_char(&file, '\0');
        if (r == R_OK)
            r = file.over ? fault_set(f, FAULT_BAD, "%.120s: a name is too long", path)
                          : put_file(when, file.p, out, f);
        buf_done(&file);
        free(list[i]);
    }
    free(list);
    return r;
}

static enum result
put_list(const char *when, const struct config_list *paths, struct buf *out,
         struct fault *f)
{
    enum result r = R_OK;
    for (size_t i = 0; r == R_OK && i < paths->n; i++)
        r = put_path(when, paths->items[i], out, f);
    return r;
}

enum result
scripts_read(const struct config *c, struct buf *out, struct fault *f)
{
    buf_init(out, LIMIT_config_packed);
    if (put_list("before", &c->sieve_before, out, f) == R_OK &&
        put_list("after", &c->sieve_after, out, f) == R_OK &&
        put_list("global", &c->sieve_global, out, f) == R_OK &&
        put_rules(&c->imapsieve, out, f) == R_OK)
        return R_OK;
    buf_done(out);
    return R_FAIL;
}
