#include "main/mail_role.h"
#include "auth/nets.h"
#include "base/metrics.h"
#include "base/clock.h"
#include "base/keep.h"
#include "base/limits.h"
#include "base/table.h"
#include <utlist.h>

struct revocation {
    struct revocation *prev, *next;
    struct revoked what;  // `keep` lies behind
    uint64_t until_ms;
    char keep[];
};

// All sessions of an account are at its home, so that this count is whole.
struct tally {
    UT_hash_handle hh;
    uint64_t account;
    unsigned sessions;
};

static struct tally *
tally_find(const struct home *h, uint64_t account)
{
    struct tally *t;
    HASH_FIND(hh, h->who.accounts, &account, sizeof account, t);
    return t;
}

unsigned
session_count_of(const struct home *h, uint64_t account)
{
    const struct tally *t = tally_find(h, account);
    return t != NULL ? t->sessions : 0;
}

static void
tally_add(struct home *h, uint64_t account)
{
    struct tally *t = tally_find(h, account);
    if (t == NULL) {
        t = KEEP_NEW(struct tally);
        t->account = account;
        HASH_ADD(hh, h->who.accounts, account, sizeof t->account, t);
    }
    t->sessions++;
}

static void
tally_drop(struct home *h, uint64_t account)
{
    struct tally *t = tally_find(h, account);
    must(t != NULL && t->sessions > 0);
    if (--t->sessions > 0)
        return;
    HASH_DEL(h->who.accounts, t);
    KEEP_FREE(t);
}

static void
on_conn_end(void *arg)
{
    struct session *s = arg;
    struct home *h = s->home;
    mail_who_forget(h, s);
    DL_DELETE(h->sessions, s);
    h->session_count--;
    tally_drop(h, s->account);
    metric_add(METRIC_sessions, -1);
    keep_free(s->texts.p, s->texts.n);
    KEEP_FREE(s);
}

static void
take_texts(struct session *s, const struct handover *ho, const struct ticket *t)
{
    const struct {
        const char **to;
        struct span text;
    } rows[] = {{&s->user, t->user},      {&s->master, t->master},
                {&s->remote, ho->remote}, {&s->local, ho->local},
                {&s->device, t->device},  {&s->pop3_policy, t->pop3}};
    enum { N = sizeof rows / sizeof *rows };
    for (size_t i = 0; i < N; i++)
        s->texts.n += rows[i].text.n + 1;
    char *at = s->texts.p = keep_new(s->texts.n);
    for (size_t i = 0; i < N; i++) {
        *rows[i].to = at;
        if (rows[i].text.n > 0)
            memcpy(at, rows[i].text.p, rows[i].text.n);
        at += rows[i].text.n + 1;
    }
}

enum result
session_open(struct home *h, struct conn *conn, const struct handover *ho,
             const struct ticket *t, struct session **s_out, struct fault *f)
{
    unsigned have = session_count_of(h, t->account);
    if (have >= h->config->sessions_per_user)
        return fault_set(f, FAULT_LIMIT, "%.*s has %u connections", SPAN_ARG(t->user),
                         have);
    struct session *s = KEEP_NEW(struct session);
    *s = (struct session){
        .home = h,
        .conn = conn,
        .account = t->account,
        .master_account = t->master_account,
        .password = t->password,
        .issued_ms = t->issued_ms,
        .read_only = (t->rights & TICKET_READ_ONLY) != 0,
        .may_imap = (t->rights & TICKET_IMAP) != 0,
        .id = ho->session,
        .since_ms = clock_wall_ms(),
        .tls = ho->tls.kind,
    };
    take_texts(s, ho, t);
    DL_APPEND(h->sessions, s);
    h->session_count++;
    tally_add(h, t->account);
    metric_add(METRIC_sessions, 1);
    conn_on_end(conn, on_conn_end, s);
    *s_out = s;
    return R_OK;
}

bool
session_can_give_back(void *arg)
{
    struct session *s = arg;
    return mail_gate_find(s->home, s->gate) != NULL;
}

// The session ends with the detach, so its facts are packed before.
void
session_give_back(struct conn **conn, void *arg)
{
    struct session *s = arg;
    struct gate_link *g = mail_gate_find(s->home, s->gate);
    struct buf b, unread;
    struct handover h = {
        .service = span_str(s->service),
        .session = s->id,
        .remote = span_str(s->remote),
        .local = span_str(s->local),
        .tls.kind = s->tls,  // the gate has the TLS itself
        .unread = conn_input(*conn),
    };
    buf_init(&b, LIMIT_channel_message);
    buf_init(&unread, SIZE_MAX);
    handover_put(&b, &h);
    int fd = conn_detach(conn, &unread);
    if (g != NULL && !b.over)
        channel_send(g->channel, MESSAGE_GIVEBACK, buf_span(&b), fd);
    else
        close(fd);
    buf_done(&b);
    buf_done(&unread);
}

void
session_started(struct session *s, void *of, const struct served_ops *ops)
{
    s->served.of = of;
    s->served.ops = ops;
    mail_rawlog_begin(s);
}

void
session_ended(void *arg)
{
    struct session *s = arg;
    mail_rawlog_end(s);
    s->served.of = NULL;
}

static void
on_imap_started(void *arg, struct imap_session *imap)
{
    session_started(arg, imap, &imap_served);
}

void
mail_imap_start(struct session *s, struct mail_user *user, const struct handover *h)
{
    static const struct imap_host_ops ops = {.give_back = session_give_back,
                                             .can_give_back = session_can_give_back,
                                             .users = &mail_users,
                                             .administers = mail_administers,
                                             .started = on_imap_started,
                                             .ended = session_ended};
    const struct config *c = s->home->config;
    struct imap_host host = {.ops = &ops,
                             .arg = s,
                             .gives_back = c->unauthenticate,
                             .read_only = s->read_only,
                             .idle_ms = (uint32_t)c->test_idle_time * 1000,
                             .notify_ms = (uint32_t)c->idle_notify * 1000,
                             .progress_ms = (uint32_t)c->test_progress_ms};
    imap_session_start(s->conn, user, h, &host);
}

unsigned
session_kick(struct home *h, struct span user, uint64_t session)
{
    unsigned n = 0;
    for (struct session *s = h->sessions; s != NULL; s = s->next) {
        bool theirs = user.n == 0 || span_ieq(user, span_str(s->user));
        if (!theirs || (session != 0 && session != s->id))
            continue;
        conn_hang_up(s->conn);
        n++;
    }
    return n;
}

// Who came so, and from where. A place is that of who logged in, for themselves or for others.
struct arrived {
    uint64_t account, master, password;
    int64_t issued_ms;
    struct span remote;
};

static bool
is_of(const struct revoked *r, const struct arrived *who)
{
    uint64_t self = who->master != 0 ? who->master : who->account;
    if (r->keep.n > 0 && (self != r->account || nets_have(r->keep, who->remote)))
        return false;
    return (r->account == who->account || r->account == who->master) &&
           (r->password == 0 || r->password == who->password) &&
           who->issued_ms <= r->before_ms;
}

static void
forget_old(struct home *h, uint64_t now_ms)
{
    while (h->tickets.revoked != NULL && h->tickets.revoked->until_ms < now_ms) {
        struct revocation *v = h->tickets.revoked;
        DL_DELETE(h->tickets.revoked, v);
        free(v);
    }
}

void
session_revoke(struct home *h, const struct revoked *r)
{
    uint64_t now_ms = clock_mono_ms();
    struct revocation *v = calloc(1, sizeof *v + r->keep.n);
    must(v != NULL);
    forget_old(h, now_ms);
    if (r->keep.n > 0)
        memcpy(v->keep, r->keep.p, r->keep.n);
    v->what = *r;
    v->what.keep = span_of(v->keep, r->keep.n);
    v->until_ms = now_ms + TICKET_LIFE_MS;
    DL_APPEND(h->tickets.revoked, v);
    for (struct session *s = h->sessions; s != NULL; s = s->next)
        if (is_of(r, &(struct arrived){s->account, s->master_account, s->password,
                                       s->issued_ms, span_str(s->remote)}))
            conn_hang_up(s->conn);
}

bool
session_is_revoked(struct home *h, const struct ticket *t, struct span remote)
{
    const struct arrived who = {t->account, t->master_account, t->password, t->issued_ms,
                                remote};
    forget_old(h, clock_mono_ms());
    for (const struct revocation *v = h->tickets.revoked; v != NULL; v = v->next)
        if (is_of(&v->what, &who))
            return true;
    return false;
}

void
session_revocations_free(struct home *h)
{
    forget_old(h, UINT64_MAX);
}
