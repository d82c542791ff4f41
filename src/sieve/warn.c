// What a script says that it may not mean.
#include "sieve/program.h"
#include "sieve/ext.h"

// A method of notification that is known where the script is read, and that this server has not.
static bool
is_foreign(const struct sieve_call *call)
{
    const struct sieve_value *method = &call->position[0];
    return strcmp(call->command->name, "notify") == 0 &&
           sieve_is_constant(&method->strings[0]) &&
           !span_istarts(method->strings[0].text, SPAN("mailto:"));
}

void
sieve_warn(const struct sieve_program *p, unsigned redirects_max,
           void (*tell)(void *arg, unsigned line, const char *text), void *arg)
{
    unsigned redirects = 0;
    char text[120];
    snprintf(text, sizeof text,
             "a run may redirect to %u addresses; this one might be left out",
             redirects_max);
    for (const struct sieve_instruction *i = p->code; i->op != OP_END; i++) {
        if (i->op != OP_DO)
            continue;
        if (strcmp(i->call->command->name, "redirect") == 0 &&
            ++redirects == redirects_max + 1)
            tell(arg, i->line, text);
        if (is_foreign(i->call))
            tell(arg, i->line,
                 "this server notifies by mailto: only; where a run comes "
                 "here, it fails and the message is kept");
    }
}
