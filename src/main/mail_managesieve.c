#include "main/mail_role.h"
#include "managesieve/session.h"

static void
on_started(void *arg, void *session)
{
    session_started(arg, session, &managesieve_served);
}

void
mail_managesieve_start(struct session *s, struct mail_user *user, const struct handover *h)
{
    const struct config *c = s->home->config;
    struct managesieve_host host = {.give_back =
                                        c->unauthenticate ? session_give_back : NULL,
                                    .can_give_back = session_can_give_back,
                                    .started = on_started,
                                    .ended = session_ended,
                                    .arg = s,
                                    .idle_ms = (uint32_t)c->test_idle_time * 1000,
                                    .redirects = (unsigned)c->sieve_redirects,
                                    .read_only = s->read_only};
    managesieve_session_start(s->conn, user, h, &host);
}
