#include "main/supervisor.h"
#include "base/log.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

static enum result
say_ready(void *arg, struct fault *f)
{
    (void)arg, (void)f;
    log_info("main", "Posthorn %s is ready", POSTHORN_VERSION);
    return R_OK;
}

int
verb_serve(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    struct fault f;
    (void)args, (void)n;
    if (verb_config(o, &c, &f) != R_OK)
        return output_fault(&f, 1);
    log_open("supervisor", c->log_level[0]);
    if (c->imap.n + c->imaps.n + c->lmtp.n == 0)
        log_warning("main", "no imap, imaps or lmtp addresses are configured: only the "
                            "admin socket is served");
    struct supervisor_options s = {.config = c, .on_ready = say_ready};
    int code = supervisor_run(&s);
    config_free(&c);
    return code;
}
