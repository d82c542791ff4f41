#include "gate/inside.h"
#include "base/limits.h"
#include "base/log.h"
#include "imap/preauth.h"
#include "managesieve/preauth.h"
#include "pop3/preauth.h"
#include "submission/preauth.h"

// One row per service that clients log in to.
static const struct preauth_service *const services[] = {
    &imap_preauth_service, &managesieve_preauth_service, &pop3_preauth_service,
    &submission_preauth_service};

const struct preauth_service *
gate_service(struct span name)
{
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        if (span_eq(name, span_str(services[i]->name)))
            return services[i];
    return NULL;
}

struct span
gate_mechanisms(const struct gate *g)
{
    return g->mechanisms.n > 0 ? buf_span(&g->mechanisms) : SPAN("PLAIN LOGIN");
}

bool
gate_is_kept(const struct gate *g, int fd)
{
    return g->options.descriptors > 0 && fd >= g->options.descriptors;
}

static void
on_auth_wait(void *arg)
{
    exchange_auth_gone(arg);
}

struct gate *
gate_new(const struct gate_options *o)
{
    struct gate *g = calloc(1, sizeof *g);
    must(g != NULL && o->mail_threads > 0);
    g->options = *o;
    g->mail = calloc(o->mail_threads, sizeof(struct channel *));
    must(g->mail != NULL);
    crowd_init(&g->crowd, o->preauth_max, LIMIT_preauth_per_ip);
    if (o->counts != NULL)
        crowd_share(&g->crowd, o->counts, o->gate, o->gates);
    tls_secrets_init(&g->tls);
    buf_init(&g->mechanisms, LIMIT_channel_message);
    timer_init(&g->auth_wait, on_auth_wait, g);
    return g;
}

static void
close_fronts(struct gate *g)
{
    while (g->crowd.oldest != NULL) {
        struct front *f =
            (struct front *)((char *)g->crowd.oldest - offsetof(struct front, member));
        front_free(&f);
    }
}

void
gate_free(struct gate **gp)
{
    struct gate *g = *gp;
    if (g == NULL)
        return;
    g->options.on_drained = NULL;
    listener_close_all(g);
    close_fronts(g);
    mta_close_all(g);
    passage_free_all(g);
    timer_clear(&g->auth_wait);
    channel_close(&g->auth);
    for (unsigned i = 0; i < g->options.mail_threads; i++)
        channel_close(&g->mail[i]);
    tls_secrets_done(&g->tls);
    buf_done(&g->mechanisms);
    free(g->mail);
    free(g);
    *gp = NULL;
}

static void
on_channel_end(struct channel *c, void *arg)
{
    struct gate *g = arg;
    if (c == g->auth) {
        channel_close(&g->auth);
        timer_set(&g->auth_wait, LIMIT_auth_wait_ms);
        exchange_auth_gone(g);
        return;
    }
    for (unsigned i = 0; i < g->options.mail_threads; i++)
        if (g->mail[i] == c)
            channel_close(&g->mail[i]);
}

// A peer whose message does not unpack is broken or taken over: its channel ends.
static void
distrust(struct channel *c, struct gate *g, int fd)
{
    log_error("gate", "a message from another role is malformed");
    if (fd >= 0)
        close(fd);
    on_channel_end(c, g);
}

static void
on_auth_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct gate *g = arg;
    struct auth_reply reply;
    struct auth_offer offer;
    if (fd < 0 && type == MESSAGE_AUTH_REPLY && auth_reply_get(body, &reply) == R_OK) {
        exchange_reply(g, &reply);
    } else if (fd < 0 && type == MESSAGE_AUTH_OFFER &&
               auth_offer_get(body, &offer) == R_OK) {
        buf_reset(&g->mechanisms);
        buf_put(&g->mechanisms, offer.mechanisms);
        mta_offer_came(g);
    } else {
        distrust(c, g, fd);
    }
}

static void
on_mail_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct handover h;
    // a pump sees mail's end closed and ends, too
    if (fd < 0 && type == MESSAGE_GIVEBACK)
        log_error("gate", "a connection is lost: no descriptor is left to take it back");
    else if (fd >= 0 && type == MESSAGE_GIVEBACK && handover_get(body, &h) == R_OK)
        passage_give_back(arg, &h, fd);
    else
        distrust(c, arg, fd);
}

void
gate_peer(struct gate *g, struct span role, uint32_t index, int fd)
{
    if (span_eq(role, SPAN("auth"))) {
        if (g->auth != NULL)  // it died, and its channel has not told so yet
            on_channel_end(g->auth, g);
        g->auth = channel_new(fd, on_auth_message, on_channel_end, g);
        exchange_auth_back(g);
    } else if (span_eq(role, SPAN("mail")) && index < g->options.mail_threads) {
        channel_close(&g->mail[index]);
        g->mail[index] = channel_new(fd, on_mail_message, on_channel_end, g);
    } else {
        log_error("gate", "a channel is of no use here", field_text("peer", "peer=%", role),
                  field_number("index", "index=%", index));
        close(fd);
    }
}

void
gate_listen(struct gate *g, const struct listen_socket *s, int fd)
{
    listener_add(g, s, fd);
}

void
gate_unlisten(struct gate *g, const struct listen_socket *s)
{
    listener_remove(g, s);
}

void
gate_settings(struct gate *g, const struct gate_settings *s)
{
    g->options.settings = *s;
}

void
gate_secret(struct gate *g, struct span name, struct span value)
{
    tls_secrets_take(&g->tls, "gate", name, value);
}

void
gate_check_drained(struct gate *g)
{
    bool idle = g->crowd.oldest == NULL && g->passages == NULL;
    if (g->draining && idle && g->options.on_drained != NULL)
        g->options.on_drained(g->options.arg);
}

// Ending one may end others only by freeing itself, so the walk starts anew at the oldest each time.
static void
say_goodbye(struct gate *g)
{
    while (g->crowd.oldest != NULL) {
        struct front *f =
            (struct front *)((char *)g->crowd.oldest - offsetof(struct front, member));
        crowd_leave(&g->crowd, &f->member);
        f->story.why = "Server shutting down";
        front_end(f, PREAUTH_END_DRAIN);
    }
}

void
gate_drain(struct gate *g)
{
    g->draining = true;
    listener_close_all(g);
    say_goodbye(g);
    mta_drain(g);
    gate_check_drained(g);
}
