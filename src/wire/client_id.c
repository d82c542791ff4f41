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

void
client_id_note(struct client_id *c, struct span field, struct span value)
{
    if (span_ieq(field, SPAN("name")))
        c->apple = span_istarts(value, SPAN("com.apple."));
    else if (span_ieq(field, SPAN("event")))
        c->background = has_background(value);
}

bool
client_id_is_background(const struct client_id *c)
{
    return c->apple && c->background;
}
