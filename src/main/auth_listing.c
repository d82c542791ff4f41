#include "main/auth_inside.h"
#include "base/limits.h"
#include <utlist.h>

// One `user list`: the outer databases are asked one after the other for all their names, which come in pieces.

struct listing {
    struct listing *prev, *next;
    struct auth_role *role;
    void (*again)(void *arg, enum result r, struct span names, const struct fault *f);
    void *arg;
    size_t at;         // of the order of databases
    uint64_t request;  // 0: none is under way
    struct buf names;
    struct timer late;
};

enum { GRACE_MS = 5000 };

static void
finish(struct listing *l, enum result r, const struct fault *f)
{
    timer_clear(&l->late);
    DL_DELETE(l->role->bases.listings, l);
    l->again(l->arg, r, buf_span(&l->names), f);
    buf_done(&l->names);
    free(l);
}

static void
fail(struct listing *l, struct span why)
{
    struct fault f;
    (void)!fault_set(&f, FAULT_UNAVAILABLE, "the users of '%s' cannot be listed: %.*s",
                     user_source_name(l->role->bases.order[l->at]),
                     SPAN_ARG(span_slice(why, 0, 120)));
    finish(l, R_FAIL, &f);
}

static bool
is_listed(enum user_source source)
{
    return source != USER_OWN && source != USER_PAM;
}

// The next database, or the end.
static void
go_on(void *arg)
{
    static uint64_t last_request;
    struct listing *l = arg;
    struct auth_role *role = l->role;
    while (l->at < role->bases.n && !is_listed(role->bases.order[l->at]))
        l->at++;
    if (l->at == role->bases.n) {
        finish(l, R_OK, NULL);
        return;
    }
    struct channel *c = outer_directory(role);
    if (c == NULL) {
        fail(l, SPAN("it is away"));
        return;
    }
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    l->request = ++last_request;
    directory_list_put(
        &b, &(struct directory_list){l->request, (uint8_t)role->bases.order[l->at]});
    channel_send(c, MESSAGE_DIRECTORY_LIST, buf_span(&b), -1);
    buf_done(&b);
    timer_set(&l->late, LIMIT_directory_list_ms + GRACE_MS);
}

static void
on_late(void *arg)
{
    fail(arg, SPAN("no answer in time"));
}

struct listing *
listing_start(struct auth_role *role,
              void (*again)(void *arg, enum result r, struct span names,
                            const struct fault *f),
              void *arg)
{
    struct listing *l = calloc(1, sizeof *l);
    must(l != NULL);
    *l = (struct listing){.role = role, .again = again, .arg = arg};
    buf_init(&l->names, LIMIT_directory_list);
    timer_init(&l->late, on_late, l);
    DL_APPEND(role->bases.listings, l);
    loop_post(role->loop, go_on, l);
    return l;
}

static void
take_names(struct listing *l, struct span packed)
{
    struct unpack u = unpack_of(packed);
    while (u.rest.n > 0 && !u.bad) {
        struct span name = unpack_span(&u);
        pack_u8(&l->names, (uint8_t)l->role->bases.order[l->at]);
        pack_span(&l->names, name);
    }
}

enum result
listing_take(struct auth_role *role, struct span body)
{
    struct directory_names m;
    struct listing *l = role->bases.listings;
    if (directory_names_get(body, &m) != R_OK)
        return R_FAIL;
    while (l != NULL && l->request != m.request)
        l = l->next;
    if (l == NULL)
        return R_OK;  // too late
    if (m.kind == DIRECTORY_NAMES_FAILED) {
        fail(l, m.names);
        return R_OK;
    }
    if (m.kind != DIRECTORY_NAMES_UNKNOWN)
        take_names(l, m.names);
    if (l->names.over) {
        fail(l, SPAN("there are too many"));
    } else if (m.kind != DIRECTORY_NAMES_MORE) {
        l->at++;
        go_on(l);
    }
    return R_OK;
}

void
listing_lost(struct auth_role *role)
{
    struct listing *l, *next;
    DL_FOREACH_SAFE(role->bases.listings, l, next)
    {
        if (l->request != 0)
            fail(l, SPAN("it went away"));
    }
}

void
listing_close(struct auth_role *role)
{
    while (role->bases.listings != NULL) {
        struct listing *l = role->bases.listings;
        timer_clear(&l->late);
        DL_DELETE(role->bases.listings, l);
        buf_done(&l->names);
        free(l);
    }
}
