#include "imap/session.h"

#include "mail/change.h"

// RFC 9051 section 6.4.3. UID EXPUNGE is UIDPLUS (RFC 4315), with a set of UIDs.

static enum result
expunge_run(struct imap_command *c, struct fault *f)
{
    uint64_t count;
    if (change_expunge(c->session->view, NULL, &count, f) != R_OK)
        return R_FAIL;
    imap_audit_expunged(c, count);
    return imap_sync_expunged(c, f);
}

static const struct imap_verb verbs[] = {
    {"EXPUNGE", ARGS_NONE, IMAP_SELECTED, VERB_CHANGES, RIGHT_EXPUNGE, expunge_run},
    {0},
};

const struct imap_ext imap_ext_expunge = {
    .name = "expunge",
    .rfc = "RFC 9051 section 6.4.3",
    .verbs = verbs,
};
