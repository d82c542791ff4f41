#include "main/mail_role.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/audit.h"
#include "io/task.h"
#include "managesieve/session.h"
#include "submission/session.h"
#include <utlist.h>

// A connection on its way from a gate: owns the descriptor and a copy of the message.
struct arrival {
    struct home *home;
    uint64_t gate;
    struct buf message;
    struct handover handover;  // into the copy
    struct ticket ticket;      // the same
    int fd;
};

// One row per service: starts its server's session (owns conn and user), or says no and ends the connection.
struct service_row {
    const char *name;
    void (*start)(struct session *s, struct mail_user *user, const struct handover *h);
    void (*refuse)(struct conn *conn, const struct handover *h, const struct fault *f);
    // May there be one now? NULL: always.
    enum result (*admit)(struct home *h, const struct ticket *t, struct fault *f);
};

// RFC 5530: the code tells the client whether to ask its user for another password.
static void
imap_refuse(struct conn *conn, const struct handover *h, const struct fault *f)
{
    const char *code = fault_info(f->kind)->imap_code;
    enum language l = h->language < LANGUAGES ? h->language : LANGUAGE_DEFAULT;
    conn_printf(conn, "%.*s NO [%s] %s\r\n", SPAN_ARG(h->tag),
                code[0] ? code : "UNAVAILABLE",
                imap_text(l, "Your mail cannot be opened now"));
    conn_printf(conn, "* BYE %s\r\n", imap_text(l, "Try again later"));
}

static const struct service_row services[] = {
    {"imap", mail_imap_start, imap_refuse, NULL},
    {"managesieve", mail_managesieve_start, managesieve_refuse, NULL},
    {"pop3", mail_pop3_start, pop3_refuse, mail_pop3_admit},
    {"submission", mail_submission_start, submission_refuse, NULL},
};

static const struct service_row *
service_find(struct span name)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (span_eq(name, span_str(services[i].name)))
            return &services[i];
    return NULL;
}

// Every ticket of an account comes to this thread, so that its serials are known here, until the ticket itself has run out.
static enum result
use_serial(struct home *h, uint64_t serial)
{
    uint64_t now = clock_mono_ms();
    lately_forget(&h->tickets.seen, now > TICKET_LIFE_MS ? now - TICKET_LIFE_MS : 0);
    if (lately_has(h->tickets.seen, serial))
        return R_FAIL;
    lately_add(&h->tickets.seen, serial, now);
    return R_OK;
}

static enum result
check_ticket(struct arrival *a, struct fault *f)
{
    struct home *h = a->home;
    struct mail_role *r = h->role;
    struct span key = span_of(r->ticket_key, sizeof r->ticket_key);
    enum result opened =
        r->has_ticket_key
            ? ticket_open(a->handover.ticket, key, (int64_t)clock_mono_ms(), &a->ticket)
            : R_FAIL;
    if (opened == R_NONE)  // mail was away for so long: the password is right
        return fault_set(f, FAULT_UNAVAILABLE, "the login is too long ago");
    if (opened != R_OK)
        return fault_set(f, FAULT_AUTHFAILED, "a gate sent a ticket that is forged");
    if (a->ticket.session != a->handover.session || a->ticket.account == 0 ||
        mail_home_index(r->mail, a->ticket.account) != h->index)
        return fault_set(f, FAULT_AUTHFAILED, "a gate sent a ticket of another session");
    if (session_is_revoked(h, &a->ticket, a->handover.remote))
        return fault_set(f, FAULT_AUTHFAILED, "the login was revoked meanwhile");
    if (use_serial(h, a->ticket.serial) != R_OK)
        return fault_set(f, FAULT_AUTHFAILED, "a gate sent a ticket twice");
    if (mail_is_kept(r, a->fd))
        return fault_set(f, FAULT_UNAVAILABLE, "no descriptors left");
    return R_OK;
}

// The test switch of the foundation's transcripts: another account's tree, with a fixed grant.
enum result
mail_mount_for_test(struct home *h, struct mail_user *u, struct fault *f)
{
    struct span rest = span_str(h->role->start->config->test_mount), owner, letters;
    if (rest.n == 0 || span_next_field(&rest, ' ', &owner) != R_OK)
        return R_OK;
    uint32_t rights;
    uint64_t account;
    struct buf name, prefix;
    letters = rest;
    if (rights_from_text(letters, &rights) != R_OK)
        return fault_set(f, FAULT_BAD, "test_mount: \"user rights\"");
    buf_init(&name, LIMIT_user_name);
    buf_init(&prefix, LIMIT_user_name + 8);
    buf_printf(&prefix, "Shared/%.*s",
               SPAN_ARG(span_slice(owner, 0, span_find_char(owner, '@'))));
    enum result r = mail_ask_user(h, owner, &account, &name, NULL, f);
    if (r == R_OK && account != account_id(mail_user_account(u)))
        r = mail_user_mount(u, buf_span(&prefix), account, buf_span(&name), rights, f);
    buf_done(&name);
    buf_done(&prefix);
    return r == R_NONE ? R_OK : r;
}

static enum result
open_user(struct arrival *a, struct mail_user **u_out, struct fault *f)
{
    struct mail_user *u;
    if (mail_user_make(a->home->role->mail, a->ticket.account, a->ticket.user,
                       a->ticket.language, &u, f) != R_OK)
        return R_FAIL;
    if (mail_identify(a->home, u, f) != R_OK ||
        mail_mount_for_test(a->home, u, f) != R_OK) {
        mail_user_close(&u);
        return R_FAIL;
    }
    *u_out = u;
    return R_OK;
}

// Auth was asked meanwhile, and a revocation ends only sessions that are there. Nothing suspends from here to session_open.
static enum result
may_begin(struct arrival *a, const struct service_row *row, struct fault *f)
{
    if (session_is_revoked(a->home, &a->ticket, a->handover.remote))
        return fault_set(f, FAULT_AUTHFAILED, "the login was revoked meanwhile");
    if (a->home->draining)
        return fault_set(f, FAULT_UNAVAILABLE, "the server is ending");
    return row->admit != NULL ? row->admit(a->home, &a->ticket, f) : R_OK;
}

static void
arrival_free(struct arrival *a)
{
    buf_done(&a->message);
    free(a);
}

static void
admit(struct arrival *a, const struct service_row *row)
{
    struct fault f = {.kind = FAULT_UNAVAILABLE};
    struct conn *conn = conn_new(a->fd, NULL, NULL);
    struct mail_user *u = NULL;
    struct session *s = NULL;
    enum result r = check_ticket(a, &f);
    if (r == R_OK)
        r = open_user(a, &u, &f);
    if (r == R_OK)
        r = may_begin(a, row, &f);
    if (r == R_OK)
        r = session_open(a->home, conn, &a->handover, &a->ticket, &s, &f);
    if (r == R_OK) {
        s->service = row->name;
        s->gate = a->gate;
        row->start(s, u, &a->handover);
        return;
    }
    log_audit_line('w', LOGIN_REFUSED, "mail", "a login is refused",
                   log_user(a->ticket.user), field_text("rip", "rip=%", a->handover.remote),
                   log_session(a->handover.session), log_fault(&f));
    mail_user_close(&u);
    row->refuse(conn, &a->handover, &f);
    conn_finish(&conn);
}

static void
run_arrival(void *arg)
{
    struct arrival *a = arg;
    const struct service_row *row = service_find(a->handover.service);
    if (row != NULL) {
        admit(a, row);
    } else {
        log_error("mail", "a gate handed over an unknown service",
                  field_text("listener", "listener=%", a->handover.service));
        close(a->fd);
    }
    arrival_free(a);
}

static void
on_end(struct channel *c, void *arg)
{
    struct gate_link *g = arg;
    (void)c;
    DL_DELETE(g->home->gates, g);
    channel_close(&g->channel);
    free(g);
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct gate_link *g = arg;
    struct arrival *a = calloc(1, sizeof *a);
    must(a != NULL);
    a->home = g->home;
    a->gate = g->id;
    a->fd = fd;
    buf_init(&a->message, LIMIT_channel_message);
    buf_put(&a->message, body);
    if (fd >= 0 && type == MESSAGE_HANDOVER &&
        handover_get(buf_span(&a->message), &a->handover) == R_OK) {
        task_start_for(0, run_arrival, a);
        return;
    }
    arrival_free(a);
    if (fd < 0 && type == MESSAGE_HANDOVER) {
        log_error("mail", "a login is lost: no descriptor is left for its connection");
        return;
    }
    if (fd >= 0)
        close(fd);
    log_error("mail", "a message from a gate is malformed");
    on_end(c, g);
}

void
mail_gate_link(struct home *h, int fd)
{
    struct gate_link *g = calloc(1, sizeof *g);
    must(g != NULL);
    g->home = h;
    g->id = ++h->gate_last;
    g->channel = channel_new(fd, on_message, on_end, g);
    DL_APPEND(h->gates, g);
}

struct gate_link *
mail_gate_find(struct home *h, uint64_t id)
{
    struct gate_link *g = h->gates;
    while (g != NULL && g->id != id)
        g = g->next;
    return g;
}

void
mail_gate_close(struct home *h)
{
    struct gate_link *g, *next;
    DL_FOREACH_SAFE(h->gates, g, next)
    on_end(g->channel, g);
    lately_forget(&h->tickets.seen, UINT64_MAX);
    session_revocations_free(h);
    mail_pop3_close(h);
    mail_submission_close(h);
}
