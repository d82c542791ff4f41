// vnd.dovecot.environment (Pigeonhole): items of environment as variables: ${env.vnd.dovecot.username}.

#include "sieve/ext.h"

static enum result
outside(struct sieve_run *r, struct span name, struct span *out)
{
    const struct sieve_world *w = sieve_world(r);
    *out = SPAN("");
    return w->environment && w->environment(w->arg, name, out) == R_FAIL ? R_FAIL : R_OK;
}

const struct sieve_ext sieve_ext_vnd_dovecot_environment = {.capability =
                                                                "vnd.dovecot.environment",
                                                            .rfc = "Pigeonhole",
                                                            .implies = "environment",
                                                            .space = "env",
                                                            .outside = outside};
