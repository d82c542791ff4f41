// RFC 2177: IDLE is a state of the session, ended by DONE (session.c); what came before is told before "+".
#include "imap/response.h"

#include "base/keep.h"

static enum result
run_idle(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    if (imap_sync(s, VIEW_EXPUNGE, c->arena, f) != R_OK)
        return R_FAIL;
    s->idle_tag = keep_span(c->tag);
    conn_write_str(s->conn, "+ idling\r\n");
    s->idling = s->due.poked = true;
    c->untagged_only = true;
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"IDLE", ARGS_NONE, IMAP_ANY, VERB_READS, 0, run_idle},
    {.name = NULL},
};

const struct imap_ext imap_ext_idle = {
    .name = "idle",
    .rfc = "RFC 2177",
    .capability = "IDLE",
    .verbs = verbs,
};
