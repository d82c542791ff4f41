// RFC 5429: reject and ereject. What goes with them is in outcome.c.

#include "sieve/ext.h"

static enum result
refuse(struct sieve_run *r, const struct sieve_call *call, enum sieve_action_kind kind)
{
    struct span reason;
    struct sieve_action *a;
    if (sieve_one(r, &call->position[0], &reason) != R_OK)
        return R_FAIL;
    sieve_cancel_keep(r);
    return sieve_action_new(r, call, kind, reason, &a);
}

static enum result
reject(struct sieve_run *r, const struct sieve_call *call)
{
    return refuse(r, call, SIEVE_REJECT);
}

static enum result
ereject(struct sieve_run *r, const struct sieve_call *call)
{
    return refuse(r, call, SIEVE_EREJECT);
}

static const struct sieve_command reject_commands[] = {
    {"reject", SIEVE_ACTION, "s", .act = reject}, {0}};
static const struct sieve_command ereject_commands[] = {
    {"ereject", SIEVE_ACTION, "s", .act = ereject}, {0}};

const struct sieve_ext sieve_ext_reject = {.capability = "reject",
                                           .rfc = "RFC 5429",
                                           .commands = reject_commands,
                                           .stages = SIEVE_OF_DELIVERY};
const struct sieve_ext sieve_ext_ereject = {.capability = "ereject",
                                            .rfc = "RFC 5429",
                                            .commands = ereject_commands,
                                            .stages = SIEVE_OF_DELIVERY};
