#include "gate/inside.h"
#include "base/clock.h"
#include "base/log.h"

// The words are Dovecot's: administrators' filters and fail2ban know them.

#define WHO(f)                                                                             \
    log_user(buf_span(&(f)->story.user)),                                                  \
        field_if((f)->story.method[0] != '\0',                                             \
                 field_str("method", "method=%", (f)->story.method)),                      \
        field_str("rip", "rip=%", (f)->ends.remote),                                       \
        field_str("lip", "lip=%", (f)->ends.local),                                        \
        field_flag("tls", "TLS", (f)->facts.tls || (f)->facts.secure), handshaking(f),     \
        log_session((f)->session),                                                         \
        field_if(                                                                          \
            (f)->story.proxy_session[0] != '\0',                                           \
            field_str("proxy_session", "proxy_session=<%>", (f)->story.proxy_session))

static struct field
handshaking(const struct front *f)
{
    bool at_it = !f->facts.tls && (f->tls == TLS_IMPLICIT || f->after == AFTER_TLS);
    return field_if(at_it, field_flag("tls_handshaking", "TLS handshaking", true));
}

static void
part_of(const struct front *f, char out[32])
{
    snprintf(out, 32, "%s-login", f->service->name);
}

void
login_log_done(const struct front *f)
{
    char part[32];
    part_of(f, part);
    log_info(part, "Login", WHO(f),
             field_if(f->story.master[0] != '\0',
                      field_str("master", "master=<%>", f->story.master)),
             field_if(f->story.device[0] != '\0',
                      field_str("device", "device=<%>", f->story.device)));
}

void
login_log_ended(const struct front *f)
{
    const struct front_story *s = &f->story;
    uint64_t secs = (clock_mono_ms() - s->start_ms) / 1000;
    bool tried = s->attempts > 0;
    char part[32];
    part_of(f, part);
    log_info(
        part, "Disconnected", field_if(s->why != NULL, field_str("reason", ": %", s->why)),
        field_number("attempts", tried ? " (auth failed, % attempts" : "", s->attempts),
        field_number("seconds", tried ? " in % secs)" : " (no auth attempts in % secs)",
                     secs),
        WHO(f));
}
