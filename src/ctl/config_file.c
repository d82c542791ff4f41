#include "ctl/setting.h"
#include "base/limits.h"
#include <confuse.h>
#include <errno.h>
#include <sys/stat.h>

// libConfuse reports by callback without an argument; one file is read at a time, on one thread.
struct reading {
    const char *file;
    struct config *config;
    struct fault *fault;
    bool failed;
};
static struct reading *reading;

enum { OPTS_MAX = 256 };

// The opts of the file and of its one section; names with a dot belong to the section.
struct opts {
    cfg_opt_t top[OPTS_MAX], tls[OPTS_MAX];
    unsigned top_n, tls_n;
};

static const struct setting *
row_of(cfg_t *cfg, const char *name)
{
    char full[64];
    bool nested = cfg_name(cfg) != NULL && span_eq(span_str(cfg_name(cfg)), SPAN("tls"));
    snprintf(full, sizeof full, "%s%s", nested ? "tls." : "", name);
    return setting_find(span_str(full));
}

// A setting of the section, as it is written outside of it: "tls { key = ... }".
static void
put_setting(struct buf *b, const char *name, bool inside)
{
    if (!inside && span_starts(span_str(name), SPAN("tls.")))
        buf_printf(b, "tls { %s = ... }", name + 4);
    else
        buf_printf(b, "'%s'", name);
}

static void
advise_unknown(struct buf *b, cfg_t *cfg, struct span name)
{
    struct buf full;
    bool inside = cfg_name(cfg) != NULL && span_eq(span_str(cfg_name(cfg)), SPAN("tls"));
    buf_init(&full, 128);
    if (inside)
        buf_put_str(&full, "tls.");
    buf_put(&full, span_slice(name, 0, 60));
    const struct setting *meant = setting_find(buf_span(&full));
    const char *near = setting_nearest(buf_span(&full));
    if (meant != NULL)
        buf_printf(b, "'%s' is written ", meant->name);
    else
        buf_printf(b, "there is no setting '%.*s'; ", SPAN_ARG(span_slice(name, 0, 60)));
    if (meant != NULL) {
        put_setting(b, meant->name, inside);
    } else if (near != NULL) {
        buf_put_str(b, "did you mean ");
        put_setting(b, near, inside);
        buf_put_char(b, '?');
    } else
        buf_put_str(b, "remove it, or see `posthorn config dump` for all settings");
    buf_done(&full);
}

__attribute__((format(printf, 2, 0))) static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    if (reading->failed)
        return;
    reading->failed = true;
    char text[300];
    vsnprintf(text, sizeof text, fmt, ap);
    struct span said = span_str(text), unknown = SPAN("no such option '");
    struct buf b;
    buf_init(&b, 512);
    buf_printf(&b, "%s:%d: ", setting_short_path(reading->file), cfg->line);
    if (span_starts(said, unknown)) {
        struct span name = span_skip(said, unknown.n);
        advise_unknown(&b, cfg, span_slice(name, 0, span_find_char(name, '\'')));
    } else {
        buf_put(&b, said);
    }
    (void)fault_set(reading->fault, FAULT_BAD, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_done(&b);
}

// Called after every value, while the line is known.
static int
on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    const struct setting *s = row_of(cfg, cfg_opt_name(opt));
    must(s != NULL);
    const char *values[LIMIT_config_list + 1];
    size_t n = 0;
    for (; n < cfg_opt_size(opt) && n <= LIMIT_config_list; n++)
        values[n] = cfg_opt_getnstr(opt, (unsigned)n);
    struct fault f;
    if (setting_read(s, reading->config, values, n, &f) == R_OK)
        return 0;
    cfg_error(cfg, "%s", f.why);
    return -1;
}

static void
opts_add(struct opts *o, const struct setting *s)
{
    struct span name = span_str(s->name);
    bool nested = span_starts(name, SPAN("tls."));
    const char *own = nested ? s->name + 4 : s->name;
    cfg_opt_t text = CFG_STR(own, NULL, CFGF_NODEFAULT),
              list = CFG_STR_LIST(own, NULL, CFGF_NODEFAULT);
    cfg_opt_t *slot = nested ? &o->tls[o->tls_n++] : &o->top[o->top_n++];
    must(o->top_n < OPTS_MAX - 2 && o->tls_n < OPTS_MAX - 1);
    *slot = s->kind == SETTING_LIST ? list : text;
    slot->validcb = on_value;
}

static void
opts_fill(struct opts *o)
{
    memset(o, 0, sizeof *o);
    for (size_t i = 0; i < settings_count; i++)
        opts_add(o, &settings[i]);
    cfg_opt_t end = CFG_END(), section = CFG_SEC("tls", NULL, CFGF_NONE);
    o->tls[o->tls_n] = end;
    section.subopts = o->tls;
    o->top[o->top_n++] = section;
    o->top[o->top_n] = end;
}

// A folder or a device would make libConfuse's scanner end the process.
static enum result
check_file(const char *file, struct fault *f)
{
    struct stat st;
    if (stat(file, &st) != 0)
        return fault_errno(f, FAULT_BAD, file);
    if (S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))
        return R_OK;
    return fault_set(f, FAULT_BAD, "%s is no file", setting_short_path(file));
}

enum result
config_file_read(const char *file, struct config *c, struct fault *f)
{
    struct opts o;
    if (check_file(file, f) != R_OK)
        return R_FAIL;
    opts_fill(&o);
    struct reading r = {file, c, f, false};
    cfg_t *cfg = cfg_init(o.top, CFGF_NONE);
    must(cfg != NULL);
    cfg_set_error_function(cfg, on_error);
    reading = &r;
    int rc = cfg_parse(cfg, file);
    reading = NULL;
    cfg_free(cfg);
    if (rc == CFG_FILE_ERROR)
        return fault_errno(f, FAULT_BAD, file);
    if (rc == CFG_PARSE_ERROR && !r.failed)
        return fault_set(f, FAULT_BAD, "%s: is not understood", setting_short_path(file));
    return rc == CFG_SUCCESS && !r.failed ? R_OK : R_FAIL;
}
