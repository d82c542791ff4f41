#include "main/mail_role.h"
#include "base/clock.h"
#include "base/limits.h"
#include <time.h>
#include <utlist.h>

static char *
text_new(struct span s)
{
    char *p = strndup(s.p ? s.p : "", s.n);
    must(p != NULL);
    return p;
}

static void
on_conn_end(void *arg)
{
    struct session *s = arg;
    struct home *h = s->home;
    DL_DELETE(h->sessions, s);
    h->session_count--;
    free(s->user);
    free(s->remote);
    free(s);
}

// All sessions of an account are at its home, so that this count is whole.
static unsigned
count_of(const struct home *h, uint64_t account)
{
    unsigned n = 0;
    for (const struct session *s = h->sessions; s != NULL; s = s->next)
        n += s->account == account;
    return n;
}

enum result
session_open(struct home *h, struct conn *conn, const struct handover *ho, uint64_t account,
             struct span user, struct fault *f)
{
    if (count_of(h, account) >= LIMIT_sessions_per_user)
        return fault_set(f, FAULT_LIMIT, "%.*s has %d connections", SPAN_ARG(user),
                         LIMIT_sessions_per_user);
    struct session *s = calloc(1, sizeof *s);
    must(s != NULL);
    *s = (struct session){
        .home = h,
        .conn = conn,
        .account = account,
        .id = ho->session,
        .since_s = clock_wall_s(),
        .service = "imap",
        .user = text_new(user),
        .remote = text_new(ho->remote),
        .tls = ho->tls.kind != TLS_NONE,
    };
    DL_APPEND(h->sessions, s);
    h->session_count++;
    conn_on_end(conn, on_conn_end, s);
    return R_OK;
}

void
session_who(struct home *h, struct buf *lines)
{
    for (const struct session *s = h->sessions; s != NULL; s = s->next) {
        char stamp[32];
        struct tm tm;
        time_t since = (time_t)s->since_s;
        localtime_r(&since, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
        buf_printf(lines, "%s\t%s\t%s\t%s\tsince %s\tsession=<%016lx>\n", s->user,
                   s->service, s->remote, s->tls ? "TLS" : "plain", stamp,
                   (unsigned long)s->id);
    }
}

unsigned
session_kick(struct home *h, struct span user)
{
    unsigned n = 0;
    for (struct session *s = h->sessions; s != NULL; s = s->next) {
        if (user.n > 0 && !span_ieq(user, span_str(s->user)))
            continue;
        conn_hang_up(s->conn);
        n++;
    }
    return n;
}
