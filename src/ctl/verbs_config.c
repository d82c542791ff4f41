#include "ctl/verbs.h"
#include "base/limits.h"
#include "imap/ext.h"

static const char default_file[] = "/etc/posthorn/posthorn.conf";

// A directory that was given relative to where the person stands.
static const char *
absolute(const char *path, struct buf *b)
{
    char here[4096];
    if (path == NULL || path[0] == '/')
        return path;
    if (getcwd(here, sizeof here) == NULL)
        return path;
    buf_printf(b, "%s/%s", here, path);
    buf_put_char(b, '\0');
    return b->p;
}

static bool
readable(const char *file)
{
    return faccessat(AT_FDCWD, file, 4, 0) == 0;
}

enum result
verb_config(const struct verb_options *o, struct config **c_out, struct fault *f)
{
    const char *file = o->file;
    if (file == NULL && o->data == NULL && readable(default_file))
        file = default_file;
    struct buf path;
    buf_init(&path, 8192);
    enum result r = config_load(file, absolute(o->data, &path), c_out, f);
    buf_done(&path);
    return r;
}

static int
load(const struct verb_options *o, struct config **c)
{
    struct fault f;
    if (verb_config(o, c, &f) == R_OK)
        return 0;
    fprintf(stderr, "posthorn: %s\n", f.why);
    return 1;
}

int
verb_config_check(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    (void)args, (void)n;
    if (load(o, &c) != 0)
        return 1;
    printf("%s: no mistakes found\n", c->file ? c->file : "the defaults");
    config_free(&c);
    return 0;
}

int
verb_config_dump(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    (void)args, (void)n;
    if (load(o, &c) != 0)
        return 1;
    struct buf b;
    buf_init(&b, LIMIT_config_packed);
    config_dump(c, &b);
    printf("%.*s", SPAN_ARG(buf_span(&b)));
    buf_done(&b);
    config_free(&c);
    return 0;
}

int
verb_capabilities(const struct verb_options *o, const char *const *args, size_t n)
{
    (void)o, (void)args, (void)n;
    for (size_t i = 0; imap_exts[i] != NULL; i++) {
        const struct imap_ext *e = imap_exts[i];
        struct buf text;
        buf_init(&text, 256);
        buf_put_str(&text, e->capability ? e->capability : "");
        if (e->capability_put != NULL)
            e->capability_put(&text);
        struct span words = span_trim(buf_span(&text));
        printf("%-14s %-30.*s %s\n", e->name, SPAN_ARG(words), e->rfc);
        buf_done(&text);
    }
    return 0;
}
