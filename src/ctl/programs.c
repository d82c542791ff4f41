#include "ctl/programs.h"
#include "base/limits.h"
#include "sieve/sieve.h"

static bool
is_below(struct span path, struct span folder)
{
    return span_starts(path, folder) && (path.n == folder.n || path.p[folder.n] == '/');
}

enum result
programs_check(const struct config *c, struct fault *f)
{
    const char *dir = c->sieve_pipe_dir;
    if (dir[0] && dir[0] != '/')
        return fault_set(f, FAULT_BAD,
                         "sieve_pipe_dir = \"%.100s\" must be an absolute path", dir);
    if (dir[0] && is_below(span_str(dir), span_str(c->data)))
        return fault_set(f, FAULT_BAD,
                         "sieve_pipe_dir must not be in the data directory: programs may "
                         "not read there");
    if (c->sieve_pipe_timeout == 0 || c->sieve_pipe_timeout > LIMIT_pipe_timeout_s)
        return fault_set(f, FAULT_BAD, "sieve_pipe_timeout must be between 1s and %ds",
                         LIMIT_pipe_timeout_s);
    return R_OK;
}

void
programs_offer(const struct config *c)
{
    bool users = span_eq(span_str(c->sieve_pipe_scripts), SPAN("all"));
    if (c->sieve_pipe_dir[0])
        sieve_offer_pipe(users ? SIEVE_USER : SIEVE_ADMINISTRATOR);
}
