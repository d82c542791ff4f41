// RFC 5490 sections 4 and 5: mboxmetadata and servermetadata.

#include "sieve/ext.h"

static enum result
find(struct sieve_run *r, struct span mailbox, struct span entry, struct span *out)
{
    const struct sieve_world *w = sieve_world(r);
    if (sieve_work(r, 100) != R_OK)
        return R_FAIL;
    return w->metadata ? w->metadata(w->arg, mailbox, entry, out) : R_NONE;
}

// `at`: where the entry's name is; of the mailbox before it, or of the server.
static enum result
match(struct sieve_run *r, const struct sieve_call *call, unsigned at, bool *yes)
{
    struct sieve_matching m;
    struct span mailbox = SPAN_NONE, entry, value;
    if (sieve_match_begin(&m, r, call, &call->position[at + 1]) != R_OK ||
        (at > 0 && sieve_one(r, &call->position[0], &mailbox) != R_OK) ||
        sieve_one(r, &call->position[at], &entry) != R_OK)
        return R_FAIL;
    enum result there = find(r, mailbox, entry, &value);
    if (there == R_OK)
        there = sieve_match_feed(&m, value);
    return there == R_FAIL ? R_FAIL : sieve_match_end(&m, yes);
}

static enum result
exist(struct sieve_run *r, const struct sieve_call *call, unsigned at, bool *yes)
{
    struct span mailbox = SPAN_NONE, *entries, value;
    if ((at > 0 && sieve_one(r, &call->position[0], &mailbox) != R_OK) ||
        sieve_texts(r, &call->position[at], &entries) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[at].n; i++) {
        enum result there = find(r, mailbox, entries[i], &value);
        if (there != R_OK)
            return there == R_NONE ? R_OK : R_FAIL;
    }
    *yes = true;
    return R_OK;
}

static enum result
metadata(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    return match(r, call, 1, yes);
}

static enum result
metadataexists(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    return exist(r, call, 1, yes);
}

static enum result
servermetadata(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    return match(r, call, 0, yes);
}

static enum result
servermetadataexists(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    return exist(r, call, 0, yes);
}

static const struct sieve_command mailbox_commands[] = {
    {"metadata", SIEVE_TEST, "ssl", .matches = true, .keys = 2, .test = metadata},
    {"metadataexists", SIEVE_TEST, "sl", .test = metadataexists},
    {0},
};
static const struct sieve_command server_commands[] = {
    {"servermetadata", SIEVE_TEST, "sl", .matches = true, .keys = 1,
     .test = servermetadata},
    {"servermetadataexists", SIEVE_TEST, "l", .test = servermetadataexists},
    {0},
};

const struct sieve_ext sieve_ext_mboxmetadata = {
    .capability = "mboxmetadata", .rfc = "RFC 5490", .commands = mailbox_commands};
const struct sieve_ext sieve_ext_servermetadata = {
    .capability = "servermetadata", .rfc = "RFC 5490", .commands = server_commands};
