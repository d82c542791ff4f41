#include "main/role.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/loop.h"

#include <sys/stat.h>

enum { FILES_MAX = 8, LOOK_MS = 5000 };

// A file of the role's row. Landlock lets the role read what was there when it began, and not what is put in its place:
// another resolv.conf, another pdftotext.
struct link_file {
    const char *path;
    dev_t device;
    ino_t number;
};

// Configurations are kept: another thread's session may still read an old one. A reload without a change sends none.
struct adopted {
    struct adopted *next;
    struct config *config;
};

struct role_link {
    struct channel *channel;
    const char *role_name;
    struct adopted *adopted;
    const struct role_link_ops *ops;
    void *role;
    struct buf name, value;  // of a secret that comes in pieces
    struct link_file files[FILES_MAX];
    size_t file_count;
    struct timer look;
    bool draining;
};

static void
drain(struct role_link *l)
{
    if (l->draining)
        return;
    l->draining = true;
    timer_clear(&l->look);
    l->ops->drain(l->role);
}

// ---- files that are replaced ----

static bool
was_replaced(const struct link_file *f)
{
    struct stat s;
    return stat(f->path, &s) == 0 && (s.st_dev != f->device || s.st_ino != f->number);
}

// The supervisor starts the role again, and then it may read the new one.
static void
on_look(void *arg)
{
    struct role_link *l = arg;
    for (size_t i = 0; i < l->file_count; i++) {
        if (!was_replaced(&l->files[i]))
            continue;
        log_info("main", "a file was replaced: the role begins anew",
                 field_str("name", "name=%", l->role_name),
                 field_str("file", "file=%", l->files[i].path));
        drain(l);
        return;
    }
    timer_set(&l->look, LOOK_MS);
}

static void
watch_files(struct role_link *l, const struct role *r)
{
    const struct role_place *p;
    struct stat s;
    for (size_t at = 0; (p = role_place_next(r, &at)) != NULL;) {
        if (p->kind != ROLE_FILE || p->path[0] != '/')
            continue;
        struct link_file f = {.path = p->path};
        if (stat(p->path, &s) == 0) {
            f.device = s.st_dev;
            f.number = s.st_ino;
        }
        must(l->file_count < FILES_MAX);
        l->files[l->file_count++] = f;
    }
    timer_init(&l->look, on_look, l);
    if (l->file_count > 0)
        timer_set(&l->look, LOOK_MS);
}

// ---- messages ----

static void
on_end(struct channel *c, void *arg)
{
    struct role_link *l = arg;
    (void)c;
    channel_close(&l->channel);
    drain(l);  // the supervisor died: without it nobody restarts anybody
}

// R_NONE: more pieces are to come. R_OK: l->name and l->value are whole.
static enum result
take_piece(struct role_link *l, struct span body)
{
    struct secret s;
    if (secret_get(body, &s) != R_OK)
        return R_FAIL;
    if (l->name.n > 0 && !span_eq(buf_span(&l->name), s.name))
        return R_FAIL;
    if (l->name.n == 0)
        buf_put(&l->name, s.name);
    buf_put(&l->value, s.value);
    if (l->value.over || l->name.over)
        return R_FAIL;
    return s.more ? R_NONE : R_OK;
}

static void
forget_pieces(struct role_link *l)
{
    buf_wipe(&l->value);
    buf_reset(&l->name);
}

static enum result
take_secret(struct role_link *l, struct span body)
{
    enum result r = l->ops->secret != NULL ? take_piece(l, body) : R_FAIL;
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    l->ops->secret(l->role, buf_span(&l->name), buf_span(&l->value));
    forget_pieces(l);
    return R_OK;
}

static enum result
take_settings(struct role_link *l, struct span body)
{
    enum result r = take_piece(l, body);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    struct adopted *a = calloc(1, sizeof *a);
    must(a != NULL);
    r = config_get(buf_span(&l->value), &a->config);
    forget_pieces(l);
    if (r != R_OK) {
        free(a);
        return R_FAIL;
    }
    a->next = l->adopted;
    l->adopted = a;
    config_log_open(a->config, l->role_name);
    if (l->ops->settings != NULL)
        l->ops->settings(l->role, a->config);
    return R_OK;
}

static enum result
take_peer(struct role_link *l, struct span body, int fd)
{
    struct peer p;
    if (l->ops->peer == NULL || fd < 0 || peer_get(body, &p) != R_OK)
        return R_FAIL;
    l->ops->peer(l->role, p.role, p.index, fd);
    return R_OK;
}

static enum result
take_listen(struct role_link *l, struct span body, int fd)
{
    struct listen_socket s;
    if (l->ops->listen == NULL || fd < 0 || listen_socket_get(body, &s) != R_OK)
        return R_FAIL;
    l->ops->listen(l->role, &s, fd);
    return R_OK;
}

static enum result
take_unlisten(struct role_link *l, struct span body)
{
    struct listen_socket s;
    if (l->ops->unlisten == NULL || listen_socket_get(body, &s) != R_OK)
        return R_FAIL;
    l->ops->unlisten(l->role, &s);
    return R_OK;
}

static enum result
take_ping(struct role_link *l, struct span body)
{
    struct ping p;
    if (ping_get(body, &p) != R_OK)
        return R_FAIL;
    if (l->ops->ping != NULL)
        l->ops->ping(l->role, p.serial);
    else
        role_link_pong(l, p.serial);
    return R_OK;
}

static enum result
take_reloaded(struct role_link *l, struct span body)
{
    struct admin_reply r;
    if (l->ops->reloaded == NULL || admin_reply_get(body, &r) != R_OK)
        return R_FAIL;
    l->ops->reloaded(l->role, &r);
    return R_OK;
}

// Messages without a descriptor.
static enum result
take_plain(struct role_link *l, uint16_t type, struct span body)
{
    switch (type) {
    case MESSAGE_SECRET:
        return take_secret(l, body);
    case MESSAGE_SETTINGS:
        return take_settings(l, body);
    case MESSAGE_UNLISTEN:
        return take_unlisten(l, body);
    case MESSAGE_PING:
        return take_ping(l, body);
    case MESSAGE_RELOADED:
        return take_reloaded(l, body);
    case MESSAGE_DRAIN:
        drain(l);
        return R_OK;
    default:
        return R_FAIL;
    }
}

static enum result
take(struct role_link *l, uint16_t type, struct span body, int fd)
{
    switch (type) {
    case MESSAGE_PEER:
        return take_peer(l, body, fd);
    case MESSAGE_LISTEN:
        return take_listen(l, body, fd);
    default:
        return fd < 0 ? take_plain(l, type, body) : R_FAIL;
    }
}

// The supervisor reads no byte from outside, so a message that is wrong is our own bug.
static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    (void)c;
    if (take(arg, type, body, fd) == R_OK)
        return;
    log_error("main", "a message of the supervisor is malformed",
              field_number("message", "message=%", type));
    must(!"well-formed message of the supervisor");
}

struct role_link *
role_link_open(const struct role_start *start, const struct role_link_ops *ops, void *role)
{
    struct role_link *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->ops = ops;
    l->role = role;
    l->role_name = start->role->name;
    buf_init(&l->name, 64);
    buf_init(&l->value, LIMIT_config_packed);  // more than LIMIT_certificate
    l->channel = channel_new(start->supervisor, on_message, on_end, l);
    watch_files(l, start->role);
    return l;
}

void
role_link_ready(struct role_link *l)
{
    if (l->channel != NULL)
        channel_send(l->channel, MESSAGE_READY, SPAN_NONE, -1);
}

static void
send_number(struct role_link *l, enum message_type type, uint64_t serial)
{
    struct ping p = {serial};
    struct buf b;
    if (l->channel == NULL)
        return;
    buf_init(&b, 64);
    ping_put(&b, &p);
    channel_send(l->channel, (uint16_t)type, buf_span(&b), -1);
    buf_done(&b);
}

void
role_link_pong(struct role_link *l, uint64_t serial)
{
    send_number(l, MESSAGE_PONG, serial);
}

void
role_link_lost(struct role_link *l, const char *role, unsigned index)
{
    struct peer lost = {span_str(role), index};
    struct buf b;
    if (l->channel == NULL)
        return;
    buf_init(&b, LIMIT_channel_message);
    peer_put(&b, &lost);
    channel_send(l->channel, MESSAGE_LOST, buf_span(&b), -1);
    buf_done(&b);
}

void
role_link_reload(struct role_link *l, uint64_t request)
{
    send_number(l, MESSAGE_RELOAD, request);
}

void
role_link_close(struct role_link **lp)
{
    struct role_link *l = *lp;
    if (l == NULL)
        return;
    channel_close(&l->channel);
    timer_clear(&l->look);
    for (struct adopted *a = l->adopted, *next; a != NULL; a = next) {
        next = a->next;
        config_free(&a->config);
        free(a);
    }
    buf_wipe(&l->value);
    buf_done(&l->name);
    free(l);
    *lp = NULL;
}
