#include "gate/inside.h"
#include "base/metrics.h"
#include "base/clock.h"
#include "base/audit.h"

// The words are Dovecot's: administrators' filters and fail2ban know them.

#define WHO(l)                                                                             \
    log_user((l)->user),                                                                   \
        field_if((l)->method[0] != '\0', field_str("method", "method=%", (l)->method)),    \
        field_str("rip", "rip=%", (l)->remote), field_str("lip", "lip=%", (l)->local),     \
        field_flag("tls", "TLS", (l)->tls),                                                \
        field_if((l)->handshaking,                                                         \
                 field_flag("tls_handshaking", "TLS handshaking", true)),                  \
        log_session((l)->session),                                                         \
        field_if((l)->proxy_session[0] != '\0',                                            \
                 field_str("proxy_session", "proxy_session=<%>", (l)->proxy_session))

static void
part_of(const struct login_log *l, char out[32])
{
    snprintf(out, 32, "%s-login", l->service);
}

struct login_log
login_log_of(const struct front *f)
{
    return (struct login_log){
        .service = f->service->name,
        .user = buf_span(&f->story.user),
        .method = f->story.method,
        .remote = f->ends.remote,
        .local = f->ends.local,
        .master = f->story.master,
        .device = f->story.device,
        .tls = f->facts.tls || f->facts.secure,
        .handshaking = !f->facts.tls && (f->tls == TLS_IMPLICIT || f->after == AFTER_TLS),
        .session = f->session,
        .proxy_session = f->story.proxy_session,
        .start_ms = f->story.start_ms,
    };
}

void
login_log_done(const struct login_log *l)
{
    char part[32];
    part_of(l, part);
    metric_add(METRIC_logins_ok, 1);
    log_audit(LOGIN, part, "Login", WHO(l),
              field_if(l->master[0] != '\0', field_str("master", "master=<%>", l->master)),
              field_if(l->device[0] != '\0', field_str("device", "device=<%>", l->device)));
}

static uint64_t
seconds_of(const struct login_log *l)
{
    return (clock_mono_ms() - l->start_ms) / 1000;
}

void
login_log_aborted(const struct login_log *l, const char *why)
{
    char part[32];
    part_of(l, part);
    log_info(
        part, "Aborted login", field_if(why != NULL, field_str("reason", " (%)", why)),
        field_if(why == NULL, field_number("attempts", " (auth failed, % attempts", 1)),
        field_if(why == NULL, field_number("seconds", " in % secs)", seconds_of(l))),
        WHO(l));
}

bool
login_log_judges(enum fault_kind refusal)
{
    static const enum fault_kind verdicts[] = {
        FAULT_AUTHFAILED, FAULT_AUTHZFAILED, FAULT_EXPIRED, FAULT_NOPERM,
        FAULT_PRIVACY,    FAULT_CANNOT,      FAULT_BAD};
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
        if (verdicts[i] == refusal)
            return true;
    return false;
}

void
login_log_ended(const struct front *f)
{
    const struct front_story *s = &f->story;
    const struct login_log l = login_log_of(f);
    // who was right, or whom nobody could judge, is none whom filters are to ban
    unsigned failed = s->attempts - s->granted - s->unjudged;
    char part[32];
    part_of(&l, part);
    log_info(part, "Disconnected",
             field_if(s->why != NULL, field_str("reason", ": %", s->why)),
             field_number("attempts", failed > 0 ? " (auth failed, % attempts" : "",
                          failed > 0 ? failed : s->attempts),
             field_if(s->attempts > 0 && failed == 0,
                      field_number("granted", " (internal failure, % successful auths",
                                   s->granted)),
             field_number("seconds",
                          s->attempts > 0 ? " in % secs)" : " (no auth attempts in % secs)",
                          seconds_of(&l)),
             WHO(&l));
}
