// The verbs of any state (RFC 9051 section 6.1), and those that have no place after login.
#include "imap/response.h"

static enum result
run_capability(struct imap_command *c, struct fault *f)
{
    (void)f;
    struct buf *b = imap_line(c->session);
    buf_put_str(b, "* CAPABILITY ");
    imap_capabilities_put(c->session, b);
    imap_line_send(c->session);
    return R_OK;
}

// NOOP and CHECK: the dispatcher tells what changed, and everything acknowledged is on disk anyway.
static enum result
run_noop(struct imap_command *c, struct fault *f)
{
    (void)c;
    (void)f;
    return R_OK;
}

static enum result
run_logout(struct imap_command *c, struct fault *f)
{
    (void)f;
    imap_bye(c->session, "Logged out");
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"CAPABILITY", ARGS_NONE, IMAP_ANY, VERB_READS, 0, run_capability},
    {"NOOP", ARGS_NONE, IMAP_ANY, VERB_READS, 0, run_noop},
    {"CHECK", ARGS_NONE, IMAP_SELECTED, VERB_READS, 0, run_noop},
    {"LOGOUT", ARGS_NONE, IMAP_ANY, VERB_QUIET | VERB_READS, 0, run_logout},
    {"STARTTLS", ARGS_OWN, 0, VERB_QUIET, 0, run_noop},
    {"LOGIN", ARGS_OWN, 0, VERB_QUIET, 0, run_noop},
    {"AUTHENTICATE", ARGS_OWN, 0, VERB_QUIET, 0, run_noop},
    {.name = NULL},
};

const struct imap_ext imap_ext_core = {
    .name = "core",
    .rfc = "RFC 9051, RFC 3501, RFC 7888, RFC 4959",
    .capability = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR",
    .enable = "IMAP4rev2",
    .enable_bits = ENABLE_REV2,
    .verbs = verbs,
};
