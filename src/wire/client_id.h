#ifndef WIRE_CLIENT_ID_H
#define WIRE_CLIENT_ID_H

// What a client's ID (RFC 2971) says of a connection: Apple's Mail tells by the field "event" that it only downloads in
// the background (technote TN3189). Such a download may be asked to come back in a day.

#include "base/span.h"

struct client_id {
    bool apple;       // the field "name" begins with "com.apple."
    bool background;  // "event" has one of TN3189's words for a background download
};

// One field of ID, in any order; values are SPAN_NONE for NIL.
void client_id_note(struct client_id *c, struct span field, struct span value);
bool client_id_is_background(const struct client_id *c);

#endif
