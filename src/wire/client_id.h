#ifndef WIRE_CLIENT_ID_H
#define WIRE_CLIENT_ID_H

// What a client's ID (RFC 2971) says of a connection: Apple's Mail tells by the field "event" that it only downloads in
// the background (technote TN3189). Such a download may be asked to come back in a day.

// A proxy or webmail tells in fields that Dovecot's proxies use for whom it speaks; whether it may is the caller's to know.

#include "base/span.h"

// Borrowed from the command; SPAN_NONE where nothing was said.
struct client_origin {
    struct span remote;   // x-originating-ip: the client
    struct span local;    // x-connected-ip: where the client connected to
    struct span session;  // x-session-id: the proxy's own
};

struct client_id {
    struct span name, version;
    bool apple;       // the field "name" begins with "com.apple."
    bool background;  // "event" has one of TN3189's words for a background download
    struct client_origin origin;
};

// One field of ID, in any order; values are SPAN_NONE for NIL.
void client_id_note(struct client_id *c, struct span field, struct span value);
// A field that tells of an origin, of those that count here and of those that do not (ports, x-proxy-ttl).
bool client_id_is_origin(struct span field);
bool client_id_is_background(const struct client_id *c);

#endif
