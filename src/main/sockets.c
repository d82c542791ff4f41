#include "main/process.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/activation.h"
#include "os/listen.h"
#include <pwd.h>
#include <sys/stat.h>

enum { MODE_OWNER = 0600, MODE_GROUP = 0660 };

// Names as in the configuration, and of FileDescriptorName= in a socket unit.
static const struct service_row services[] = {
    {"imap", "imap", "gate", TLS_STARTTLS, offsetof(struct config, imap), 0},
    {"imaps", "imap", "gate", TLS_IMPLICIT, offsetof(struct config, imaps), 0},
    {"managesieve", "managesieve", "gate", TLS_STARTTLS,
     offsetof(struct config, managesieve), 0},
    {"pop3", "pop3", "gate", TLS_STARTTLS, offsetof(struct config, pop3), 0},
    {"pop3s", "pop3", "gate", TLS_IMPLICIT, offsetof(struct config, pop3s), 0},
    {"submission", "submission", "gate", TLS_STARTTLS, offsetof(struct config, submission),
     0},
    {"submissions", "submission", "gate", TLS_IMPLICIT,
     offsetof(struct config, submissions), 0},
    {"lmtp", "lmtp", "mail", TLS_NONE, offsetof(struct config, lmtp),
     offsetof(struct config, lmtp_user)},
    {"policy", "policy", "mail", TLS_NONE, offsetof(struct config, policy),
     offsetof(struct config, lmtp_user)},
    {"maps", "maps", "mail", TLS_NONE, offsetof(struct config, maps),
     offsetof(struct config, lmtp_user)},
    {"http", "http", "http", TLS_NONE, offsetof(struct config, http), 0},
    {"https", "http", "http", TLS_IMPLICIT, offsetof(struct config, https), 0},
    {"auth_service", "auth", "gate", TLS_NONE, offsetof(struct config, auth_service),
     offsetof(struct config, auth_service_user)},
};
enum { SERVICES = sizeof services / sizeof services[0] };
static const struct service_row admin = {"admin", "admin", "mail", TLS_NONE, 0, 0};

static struct socket_row *
add_row(struct socket_table *t, const struct service_row *service, struct listen_at at,
        int fd)
{
    must(t->n < t->max);
    struct socket_row *row = &t->rows[t->n++];
    *row = (struct socket_row){
        .service = service,
        .address = strndup(at.address.n > 0 ? at.address.p : "", at.address.n),
        .proxy = at.proxy,
        .fd = fd};
    must(row->address != NULL);
    return row;
}

static void
table_init(struct socket_table *t, const struct config *c)
{
    *t = (struct socket_table){.max = ACTIVATION_MAX + 1};
    for (size_t i = 0; i < SERVICES; i++)
        t->max += config_list_at(c, services[i].list)->n;
    t->rows = calloc(t->max, sizeof *t->rows);
    must(t->rows != NULL);
}

static struct socket_row *
find_address(const struct socket_table *t, struct span address)
{
    for (size_t i = 0; i < t->n; i++)
        if (span_eq(span_str(t->rows[i].address), address))
            return &t->rows[i];
    return NULL;
}

static const char *
unix_path(const char *address)
{
    struct span prefix = SPAN("unix:");
    return span_starts(span_str(address), prefix) ? address + prefix.n : NULL;
}

// Whose a service's unix sockets are: who is configured, or Postfix, or we.
static enum result
owner_of(const struct supervisor *s, const struct config *c,
         const struct service_row *service, struct user_ids *ids_out, struct fault *f)
{
    struct fault why;
    *ids_out = s->ids;
    if (service->owner == 0)
        return R_OK;
    const char *name = *(const char *const *)((const char *)c + service->owner);
    enum result r = user_find(name[0] ? name : "postfix", ids_out, &why);
    return r == R_OK || !name[0]
               ? R_OK
               : fault_set(f, why.kind, "the owner of a socket of %s: %.100s",
                           service->name, why.why);
}

static enum result
give_away(const struct supervisor *s, const struct config *c, const struct socket_row *row,
          struct fault *f)
{
    const char *path = unix_path(row->address);
    if (geteuid() != 0 || path == NULL)
        return R_OK;
    struct user_ids ids;
    if (owner_of(s, c, row->service, &ids, f) != R_OK)
        return R_FAIL;
    return lchown(path, ids.uid, ids.gid) == 0 ? R_OK
                                               : fault_errno(f, FAULT_UNAVAILABLE, path);
}

static struct span
port_of(struct span address)
{
    return span_skip(address, span_behind_last(address, ':'));
}

// What is open and has the port of this address, which is why it cannot be opened beside. NULL: it is somebody else's.
static const struct socket_row *
own_port(const struct supervisor *s, struct span address)
{
    for (size_t i = 0; i < s->sockets.n; i++) {
        const struct socket_row *row = &s->sockets.rows[i];
        if (unix_path(row->address) == NULL &&
            span_eq(port_of(span_str(row->address)), port_of(address)))
            return row;
    }
    return NULL;
}

static enum result
not_opened(const struct supervisor *s, const struct service_row *service,
           struct span address, const struct fault *why, struct fault *f)
{
    const struct socket_row *own = why->kind == FAULT_INUSE ? own_port(s, address) : NULL;
    if (own != NULL)
        return fault_set(f, why->kind,
                         "%s: %.*s: the port is open on %.100s; only a restart opens it on "
                         "other addresses",
                         service->name, SPAN_ARG(span_slice(address, 0, 80)), own->address);
    return fault_set(f, why->kind, "%s: %.*s: %.90s", service->name,
                     SPAN_ARG(span_slice(address, 0, 80)), why->why);
}

static enum result
open_one(const struct supervisor *s, const struct config *c, struct socket_table *next,
         const struct service_row *service, struct listen_at at, struct fault *f)
{
    bool own = service == &admin || geteuid() == 0;
    struct fault why;
    int fd;
    if (listen_open(at.address, own ? MODE_OWNER : MODE_GROUP, &fd, &why) != R_OK)
        return not_opened(s, service, at.address, &why, f);
    struct socket_row *row = add_row(next, service, at, fd);
    row->fresh = true;
    return give_away(s, c, row, f);
}

// An address that is open stays open, also when another service takes it over.
static enum result
plan_one(const struct supervisor *s, const struct config *c, struct socket_table *next,
         const struct service_row *service, struct listen_at at, struct fault *f)
{
    const struct socket_row *twice = find_address(next, at.address),
                            *now = find_address(&s->sockets, at.address);
    if (twice != NULL && twice->given && twice->service == service)
        return R_OK;
    if (twice != NULL)
        return fault_set(f, FAULT_BAD, "%s: %.*s is used by %s already", service->name,
                         SPAN_ARG(span_slice(at.address, 0, 100)), twice->service->name);
    if (now == NULL)
        return open_one(s, c, next, service, at, f);
    add_row(next, service, at, now->fd);
    return R_OK;
}

static enum result
plan_service(const struct supervisor *s, const struct config *c, struct socket_table *next,
             const struct service_row *service, struct fault *f)
{
    const struct config_list *list = config_list_at(c, service->list);
    for (size_t i = 0; i < list->n; i++)
        if (plan_one(s, c, next, service, listen_at_of(span_str(list->items[i])), f) !=
            R_OK)
            return R_FAIL;
    return R_OK;
}

static struct listen_at
at_of(const struct socket_row *row)
{
    return (struct listen_at){span_str(row->address), row->proxy};
}

// What no configuration names: the admin socket, and those of the service manager.
static void
keep_standing(const struct supervisor *s, struct socket_table *next)
{
    for (size_t i = 0; i < s->sockets.n; i++) {
        const struct socket_row *row = &s->sockets.rows[i];
        if (row->given || row->service == &admin)
            add_row(next, row->service, at_of(row), row->fd)->given = row->given;
    }
}

// What the service manager gave, or only a restart closes, the settings need not name any more.
static enum result
check_certificate(const struct config *c, const struct socket_table *t, struct fault *f)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].service->tls == TLS_IMPLICIT && c->tls_certificate.n == 0)
            return fault_set(f, FAULT_BAD, "%s on %.100s needs tls { certificate = ... }",
                             t->rows[i].service->name, t->rows[i].address);
    return R_OK;
}

enum result
sockets_plan(const struct supervisor *s, const struct config *c, struct socket_table *next,
             struct fault *f)
{
    table_init(next, c);
    keep_standing(s, next);
    enum result r = R_OK;
    for (size_t i = 0; r == R_OK && i < SERVICES; i++)
        r = plan_service(s, c, next, &services[i], f);
    if (r != R_OK || check_certificate(c, next, f) != R_OK) {
        sockets_discard(next);
        return R_FAIL;
    }
    return R_OK;
}

static void
close_row(const struct socket_row *row)
{
    const char *path = unix_path(row->address);
    close(row->fd);
    if (path != NULL && !row->given)
        (void)unlink(path);  // a stale one is replaced at the next start
}

static void
free_table(struct socket_table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->rows[i].address);
    free(t->rows);
    *t = (struct socket_table){0};
}

void
sockets_discard(struct socket_table *next)
{
    for (size_t i = 0; i < next->n; i++)
        if (next->rows[i].fresh)
            close_row(&next->rows[i]);
    free_table(next);
}

static bool
same_service(const struct socket_row *a, const struct socket_row *b)
{
    return a != NULL && b != NULL && a->service == b->service && a->proxy == b->proxy;
}

void
sockets_commit(struct supervisor *s, struct socket_table *next)
{
    for (size_t i = 0; i < s->sockets.n; i++) {
        const struct socket_row *row = &s->sockets.rows[i],
                                *stays = find_address(next, span_str(row->address));
        if (!same_service(stays, row))
            wiring_unlisten(s, row);
        if (stays == NULL)
            close_row(row);
    }
    for (size_t i = 0; i < next->n; i++) {
        struct socket_row *row = &next->rows[i];
        row->fresh = false;
        if (!same_service(find_address(&s->sockets, span_str(row->address)), row))
            wiring_listen(s, row);
    }
    free_table(&s->sockets);
    s->sockets = *next;
}

static enum result
open_admin(struct supervisor *s, const struct config *c, struct fault *f)
{
    char address[4200];
    snprintf(address, sizeof address, "unix:%s/admin.sock", c->data);
    return open_one(s, c, &s->sockets, &admin, (struct listen_at){span_str(address), false},
                    f);
}

static const struct service_row *
service_find(struct span name)
{
    for (size_t i = 0; i < SERVICES; i++)
        if (span_eq(name, span_str(services[i].name)))
            return &services[i];
    return NULL;
}

// FileDescriptorName=imaps, or imaps-proxy for a socket of which the configuration would say "proxy".
static const struct service_row *
service_of(const struct activated *a, bool *proxy_out)
{
    struct span name = span_str(a->name), option = SPAN("-proxy");
    *proxy_out = span_ends(name, option);
    return service_find(span_slice(name, 0, name.n - (*proxy_out ? option.n : 0)));
}

// All are taken into the table, so that a refusal closes all; then they are judged.
static enum result
take_given(struct supervisor *s, struct fault *f)
{
    static struct activated given[ACTIVATION_MAX];
    size_t n = 0;
    enum result r = R_OK;
    if (activation_take(given, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        bool proxy;
        const struct service_row *service = service_of(&given[i], &proxy);
        if (service == NULL && r == R_OK)
            r = fault_set(f, FAULT_BAD,
                          "LISTEN_FDNAMES: there is no service '%.40s'; use "
                          "FileDescriptorName=imap, imaps, pop3, pop3s, managesieve, "
                          "submission, submissions, lmtp, "
                          "maps, policy, http, https or auth_service",
                          given[i].name);
        add_row(&s->sockets, service ? service : &services[0],
                (struct listen_at){span_str(given[i].address), proxy}, given[i].fd)
            ->given = true;
        if (r == R_OK && proxy && s->options.config->proxy_networks.n == 0)
            r = fault_set(f, FAULT_BAD, "LISTEN_FDNAMES: '%.40s' needs proxy_networks",
                          given[i].name);
        if (r == R_OK)
            log_info("main", "a socket comes from the service manager",
                     field_str("listener", "listener=%", given[i].name),
                     field_str("address", "address=%", given[i].address));
    }
    return r;
}

static void
name_given(const struct socket_row *row, struct config *c)
{
    struct config_list *list = (struct config_list *)((char *)c + row->service->list);
    const char **items = arena_array(c->arena, list->n + 1, sizeof *items);
    struct buf text;
    for (size_t i = 0; i < list->n; i++) {
        items[i] = list->items[i];
        if (span_eq(listen_at_of(span_str(items[i])).address, span_str(row->address)))
            return;
    }
    buf_init(&text, ACTIVATION_ADDRESS + 16);
    buf_printf(&text, "%s%s", row->address, row->proxy ? " proxy" : "");
    items[list->n++] = arena_cstr(c->arena, buf_span(&text));
    list->items = items;
    buf_done(&text);
}

void
sockets_name_given(const struct supervisor *s, struct config *c)
{
    for (size_t i = 0; i < s->sockets.n; i++)
        if (s->sockets.rows[i].given)
            name_given(&s->sockets.rows[i], c);
}

enum result
sockets_open(struct supervisor *s, struct fault *f)
{
    struct config *c = s->options.config;
    struct socket_table next;
    table_init(&s->sockets, c);
    if (take_given(s, f) != R_OK)
        return R_FAIL;
    sockets_name_given(s, c);
    if (open_admin(s, c, f) != R_OK || sockets_plan(s, c, &next, f) != R_OK)
        return R_FAIL;
    sockets_commit(s, &next);
    if (s->sockets.n == 1)
        log_warning("main", "no imap, imaps, pop3, pop3s, managesieve, submission, "
                            "submissions or lmtp addresses "
                            "are configured: only the "
                            "admin socket is served");
    return R_OK;
}

bool
sockets_have(const struct supervisor *s, const char *role)
{
    for (size_t i = 0; i < s->sockets.n; i++)
        if (strcmp(s->sockets.rows[i].service->role, role) == 0)
            return true;
    return false;
}

void
sockets_close(struct supervisor *s)
{
    for (size_t i = 0; i < s->sockets.n; i++)
        close_row(&s->sockets.rows[i]);
    free_table(&s->sockets);
}
