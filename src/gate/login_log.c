#include "gate/inside.h"
#include "base/clock.h"
#include "base/log.h"

// The words are Dovecot's: administrators' filters and fail2ban know them.

static const char *
tls_words(const struct front *f)
{
    if (f->facts.tls)
        return "TLS, ";
    return f->tls == TLS_IMPLICIT || f->after == AFTER_TLS ? "TLS handshaking, " : "";
}

static void
part_of(const struct front *f, char out[32])
{
    snprintf(out, 32, "%s-login", f->service->name);
}

static void
put_who(struct buf *b, const struct front *f)
{
    const struct front_story *s = &f->story;
    buf_printf(b, "user=<%.*s>, ", SPAN_ARG(buf_span(&s->user)));
    if (s->method[0])
        buf_printf(b, "method=%s, ", s->method);
    buf_printf(b, "rip=%s, lip=%s, %ssession=<%016lx>", f->remote, f->local, tls_words(f),
               (unsigned long)f->session);
}

void
login_log_done(const struct front *f)
{
    char part[32];
    struct buf b;
    buf_init(&b, 1024);
    part_of(f, part);
    put_who(&b, f);
    log_info(part, "Login: %.*s", SPAN_ARG(buf_span(&b)));
    buf_done(&b);
}

void
login_log_ended(const struct front *f)
{
    const struct front_story *s = &f->story;
    unsigned long secs = (unsigned long)((clock_mono_ms() - s->start_ms) / 1000);
    char part[32];
    struct buf b;
    buf_init(&b, 1024);
    part_of(f, part);
    if (s->attempts > 0)
        buf_printf(&b, "auth failed, %u attempts in %lu secs): ", s->attempts, secs);
    else
        buf_printf(&b, "no auth attempts in %lu secs): ", secs);
    put_who(&b, f);
    log_info(part, "Disconnected%s%s (%.*s", s->why ? ": " : "", s->why ? s->why : "",
             SPAN_ARG(buf_span(&b)));
    buf_done(&b);
}
