// vnd.dovecot.environment (Pigeonhole): items of environment as variables: ${env.vnd.dovecot.username}.

#include "sieve/ext.h"

// A variable's name has no "-": its "_" stands for it, where there is no item with "_".
static enum result
outside(struct sieve_run *r, struct span name, struct span *out)
{
    char *p = arena_cstr(sieve_scratch(r), name);
    for (size_t i = 0; i < name.n; i++)
        p[i] = p[i] == '_' ? '-' : p[i];
    enum result found = sieve_environment(r, name, out);
    if (found == R_NONE)
        found = sieve_environment(r, span_of(p, name.n), out);
    if (found == R_NONE)
        *out = SPAN("");
    return found == R_FAIL ? R_FAIL : R_OK;
}

const struct sieve_ext sieve_ext_vnd_dovecot_environment = {.capability =
                                                                "vnd.dovecot.environment",
                                                            .rfc = "Pigeonhole",
                                                            .implies = "environment",
                                                            .space = "env",
                                                            .outside = outside};
