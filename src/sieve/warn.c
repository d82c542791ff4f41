// What a script says that it may not mean.
#include "sieve/program.h"
#include "sieve/ext.h"

void
sieve_warn(const struct sieve_program *p, unsigned redirects_max,
           void (*tell)(void *arg, unsigned line, const char *text), void *arg)
{
    unsigned redirects = 0;
    char text[120];
    snprintf(text, sizeof text,
             "a run may redirect to %u addresses; this one might be left out",
             redirects_max);
    for (const struct sieve_instruction *i = p->code; i->op != OP_END; i++)
        if (i->op == OP_DO && strcmp(i->call->command->name, "redirect") == 0 &&
            ++redirects == redirects_max + 1)
            tell(arg, i->line, text);
}
