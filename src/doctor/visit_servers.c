#include "doctor/greet.h"
#include "doctor/visit.h"

enum { DAYS_LOW = 14 };

static const char *
hint_of(const struct fault *f)
{
    switch (f->kind) {
    case FAULT_PRIVACY:
        return "clients refuse it: give the server a certificate with this name "
               "(docs/certificates.md)";
    case FAULT_NONEXISTENT:
        return "add an A or AAAA record";
    default:
        return "is the server running, and does a firewall let this port through?";
    }
}

static void
look_server(struct visit *v, const struct offer *offer)
{
    struct greeting g;
    struct fault f;
    char step[64], where[300];
    snprintf(step, sizeof step, "server %s", offer_kind_name(offer->kind));
    snprintf(where, sizeof where, "%.*s:%u", SPAN_ARG(offer->host), offer->port);
    if (greet(v->names, v->trust, offer, &g, &f) != R_OK)
        visit_tell(v, step, FINDING_WRONG, hint_of(&f), "%s: %s", where, f.why);
    else if (!g.can_login)
        visit_tell(v, step, FINDING_WRONG,
                   "nobody can log in: look at the server's settings",
                   "%s offers no way to log in", where);
    else if (g.plain_login)
        visit_tell(v, step, FINDING_WARNING, "set plaintext_auth = false",
                   "%s takes passwords before STARTTLS", where);
    else if (g.days < DAYS_LOW)
        visit_tell(v, step, FINDING_WARNING, "renew it, then `posthorn reload`",
                   "%s, %s; its certificate is good for %d days only", where, g.tls,
                   g.days);
    else
        visit_tell(v, step, FINDING_OK, NULL, "%s, %s, certificate good for %d days", where,
                   g.tls, g.days);
}

static bool
has(const struct visit *v, const char *protocol)
{
    for (size_t i = 0; i < v->found.n; i++) {
        const char *name = offer_kind_protocol(v->found.list[i].kind);
        if (name != NULL && strcmp(name, protocol) == 0)
            return true;
    }
    return false;
}

void
visit_servers(struct visit *v)
{
    for (size_t i = 0; i < v->found.n; i++)
        look_server(v, &v->found.list[i]);
    if (!has(v, "imap") && !has(v, "pop3"))
        visit_tell(
            v, "reading mail", FINDING_WRONG,
            "set imaps and https, and put what `posthorn dns DOMAIN` prints into the zone",
            "no way leads a client to an IMAP or POP3 server");
    if (!has(v, "smtp"))
        visit_tell(v, "sending mail", FINDING_WARNING,
                   "announce = { \"submissions smtp.example.org:465\" }",
                   "no way leads a client to a server that sends its mail");
}
