#include "wire/client_id.h"

static bool
has_background(struct span events)
{
    struct span event;
    while (span_next_field(&events, ',', &event) == R_OK)
        if (span_ieq(span_trim(event), SPAN("indexer")) ||
            span_ieq(span_trim(event), SPAN("back-fill")))
            return true;
    return false;
}

static const struct {
    const char *field;
    size_t at;  // in struct client_origin, or SIZE_MAX
} origins[] = {
    {"x-originating-ip", offsetof(struct client_origin, remote)},
    {"x-connected-ip", offsetof(struct client_origin, local)},
    {"x-session-id", offsetof(struct client_origin, session)},
    {"x-originating-port", SIZE_MAX},
    {"x-connected-port", SIZE_MAX},
    {"x-proxy-ttl", SIZE_MAX},
};
enum { ORIGINS = sizeof origins / sizeof origins[0] };

static size_t
origin_find(struct span field)
{
    size_t i = 0;
    while (i < ORIGINS && !span_ieq(field, span_str(origins[i].field)))
        i++;
    return i;
}

bool
client_id_is_origin(struct span field)
{
    return origin_find(field) < ORIGINS;
}

void
client_id_note(struct client_id *c, struct span field, struct span value)
{
    if (span_ieq(field, SPAN("name"))) {
        c->name = value;
        c->apple = span_istarts(value, SPAN("com.apple."));
    } else if (span_ieq(field, SPAN("version")))
        c->version = value;
    else if (span_ieq(field, SPAN("event")))
        c->background = has_background(value);
    size_t i = origin_find(field);
    if (i < ORIGINS && origins[i].at != SIZE_MAX)
        *(struct span *)((char *)&c->origin + origins[i].at) = value;
}

bool
client_id_is_background(const struct client_id *c)
{
    return c->apple && c->background;
}
