#include "imap/messagelimit.h"

#include "mail/change.h"

// RFC 4315, RFC 9051 section 6.4.9: UID EXPUNGE. APPENDUID and COPYUID are in append.c and copy.c.

static enum result
uid_expunge_run(struct imap_command *c, struct fault *f)
{
    uint64_t count;
    if (imap_limit_newest(c, &c->set, true, f) != R_OK ||
        change_expunge(c->session->view, &c->set, &count, f) != R_OK)
        return R_FAIL;
    imap_audit_expunged(c, count);
    return imap_sync_expunged(c, f);
}

static const struct imap_verb verbs[] = {
    {"EXPUNGE", ARGS_SET, IMAP_SELECTED, VERB_CHANGES | VERB_ONLY_UID, RIGHT_EXPUNGE,
     uid_expunge_run},
    {0},
};

const struct imap_ext imap_ext_uidplus = {
    .name = "uidplus",
    .rfc = "RFC 4315, RFC 9051 section 6.4.9",
    .capability = "UIDPLUS",
    .verbs = verbs,
};
