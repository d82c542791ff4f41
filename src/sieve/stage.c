// Where a program may run.
#include "sieve/program.h"
#include "sieve/ext.h"

const char *
sieve_out_of_place(const struct sieve_program *p, enum sieve_stage stage)
{
    for (unsigned i = 0; i < SIEVE_EXTS; i++)
        if (p->enabled[i] && sieve_exts[i]->stages != 0 &&
            !(sieve_exts[i]->stages & 1U << stage))
            return sieve_exts[i]->capability;
    return NULL;
}
