// What a script says that it may not mean.
#include "base/limits.h"
#include "sieve/program.h"
#include "sieve/ext.h"

void
sieve_warn(const struct sieve_program *p,
           void (*tell)(void *arg, unsigned line, const char *text), void *arg)
{
    unsigned redirects = 0;
    char text[120];
    snprintf(text, sizeof text,
             "a run may redirect to %d addresses; this one might be left out",
             LIMIT_sieve_redirects);
    for (const struct sieve_instruction *i = p->code; i->op != OP_END; i++)
        if (i->op == OP_DO && strcmp(i->call->command->name, "redirect") == 0 &&
            ++redirects == LIMIT_sieve_redirects + 1)
            tell(arg, i->line, text);
}
