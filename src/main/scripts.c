#include "main/process.h"
#include "base/limits.h"

#include <dirent.h>

// The administrator's Sieve scripts: read by the supervisor, since the role mail sees its data only, and packed for it: a word
// that says when they run, a name, a text, and so on.

static struct span
base_name(const char *path)
{
    struct span s = span_str(path);
    s = span_skip(s, span_behind_last(s, '/'));
    return span_ends(s, SPAN(".sieve")) ? span_slice(s, 0, s.n - 6) : s;
}

static enum result
put_file(const char *when, const char *path, struct buf *out, struct fault *f)
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
        pack_span(out, base_name(path));
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

static int
is_script(const struct dirent *entry)
{
    struct span name = span_str(entry->d_name);
    return name.p[0] != '.' && span_ends(name, SPAN(".sieve"));
}

// In the order of their names.
static enum result
put_folder(const char *when, const char *path, struct buf *out, struct fault *f)
{
    struct dirent **list = NULL;
    enum result r = R_OK;
    int n = scandir(path, &list, is_script, alphasort);
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
    for (size_t i = 0; r == R_OK && i < paths->n; i++) {
        int fd = open(paths->items[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            close(fd);
        r = fd >= 0 ? put_folder(when, paths->items[i], out, f)
                    : put_file(when, paths->items[i], out, f);
    }
    return r;
}

enum result
scripts_read(const struct config *c, struct buf *out, struct fault *f)
{
    buf_init(out, LIMIT_config_packed);
    if (put_list("before", &c->sieve_before, out, f) == R_OK &&
        put_list("after", &c->sieve_after, out, f) == R_OK &&
        put_list("global", &c->sieve_global, out, f) == R_OK)
        return R_OK;
    buf_done(out);
    return R_FAIL;
}
