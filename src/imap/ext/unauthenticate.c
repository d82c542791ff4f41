// RFC 8437: UNAUTHENTICATE. Back in the gate the connection is before login again; TLS stays. All that the session held
// ends with it: the selected mailbox, ENABLE, "$". What was told by ID is forgotten, too.
#include "imap/response.h"

#include "base/limits.h"

static bool
offered(const struct imap_session *s)
{
    return s->host.gives_back;
}

// There is no NO (section 3): what cannot be done ends the connection by BYE.
static enum result
run_unauthenticate(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    conn_read_pause(s->conn);  // what comes now is for the gate
    if (conn_held(s->conn) > LIMIT_line_preauth) {
        imap_bye(s, "Too much behind UNAUTHENTICATE");
        return fault_set(f, FAULT_CLOSED, "too much behind UNAUTHENTICATE");
    }
    if (!s->host.ops->can_give_back(s->host.arg)) {
        imap_bye(s, "[UNAVAILABLE] Please connect anew");
        return fault_set(f, FAULT_CLOSED, "the gate of the connection is gone");
    }
    imap_unselect(s);
    s->due.leaving = true;
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"UNAUTHENTICATE", ARGS_NONE, IMAP_ANY, VERB_QUIET | VERB_READS, 0, run_unauthenticate},
    {.name = NULL},
};

const struct imap_ext imap_ext_unauthenticate = {
    .name = "unauthenticate",
    .rfc = "RFC 8437",
    .capability = "UNAUTHENTICATE",
    .offered = offered,
    .verbs = verbs,
};
