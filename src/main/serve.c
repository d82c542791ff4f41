#include "main/supervisor.h"
#include "base/log.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

static enum result
say_ready(void *arg, struct fault *f)
{
    (void)arg, (void)f;
    log_info("main", "Posthorn is ready",
             field_str("version", "version=%", POSTHORN_VERSION));
    return R_OK;
}

static enum result
load(void *arg, struct config **c_out, struct fault *f)
{
    return verb_config(arg, c_out, f);
}

int
verb_serve(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    struct fault f;
    (void)args, (void)n;
    if (verb_config(o, &c, &f) != R_OK)
        return output_fault(&f, 1);
    config_log_open(c, "supervisor");
    struct verb_options again = *o;
    again.file =
        c->file;  // a file that is gone at a reload is a mistake, not a wish for the defaults
    struct supervisor_options s = {
        .config = c, .on_ready = say_ready, .load = load, .load_arg = &again};
    int code = supervisor_run(&s);
    config_free(&c);
    return code;
}
