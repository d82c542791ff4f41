#include "os/role.h"

static const struct role roles[] = {
#define ROLE(name, user, connect, exec, calls, files, text)                                \
    {#name, ROLE_##user, ROLE_##connect, exec, calls, files, text},
#define PLACE(role, path, kind, writes)
#include "os/roles.def"
#undef ROLE
#undef PLACE
};

static const struct role_place places[] = {
#define ROLE(name, user, connect, exec, calls, files, text)
#define PLACE(role, path, kind, writes) {#role, path, ROLE_##kind, writes},
#include "os/roles.def"
#undef ROLE
#undef PLACE
};

const struct role *
role_at(size_t i)
{
    return i < sizeof roles / sizeof roles[0] ? &roles[i] : NULL;
}

const struct role *
role_find(struct span name)
{
    const struct role *r;
    for (size_t i = 0; (r = role_at(i)) != NULL; i++)
        if (span_eq(name, span_str(r->name)))
            return r;
    return NULL;
}

const struct role_place *
role_place_next(const struct role *r, size_t *at)
{
    while (*at < sizeof places / sizeof places[0]) {
        const struct role_place *p = &places[(*at)++];
        if (span_eq(span_str(p->role), span_str(r->name)))
            return p;
    }
    return NULL;
}
