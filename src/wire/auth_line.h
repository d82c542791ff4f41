#ifndef WIRE_AUTH_LINE_H
#define WIRE_AUTH_LINE_H

// A line of Dovecot's authentication protocol, version 1.2, as a client of it (a mail transfer agent) sends it: a command
// and parameters with tabs between. LF ends a line. Nothing here does I/O.
// Trust: any bytes; a line is capped by the caller (LIMIT_mta_line).

#include "base/arena.h"
#include "base/buf.h"

enum { AUTH_LINE_MAJOR = 1, AUTH_LINE_MINOR = 2 };

enum auth_line_kind {
    AUTH_LINE_VERSION,  // major and minor
    AUTH_LINE_CPID,     // id: the client's process
    AUTH_LINE_AUTH,
    AUTH_LINE_CONT,    // id and response
    AUTH_LINE_CANCEL,  // id
};

// Texts are as they were before tab-escaping, in the arena or borrowed from the line. What is not there is SPAN_NONE, or
// false. Parameters that are not known are passed over, and of two with one name the last one counts.
struct auth_line {
    enum auth_line_kind kind;
    uint32_t major, minor;
    uint32_t id;
    struct span mechanism, service;
    struct span remote, local;  // rip, lip: addresses as sent
    struct span session;        // the client's own id
    struct span server_name;    // TLS SNI
    bool secured;
    bool final_ok;         // SCRAM's last data may come with OK
    struct span response;  // base64 as sent; SPAN_NONE: no initial response
};

// R_FAIL (FAULT_BAD): an unknown command, one without what it needs, a number that is none, NUL. `line` comes without LF.
enum result auth_line_parse(struct span line, struct arena *a, struct auth_line *out,
                            struct fault *f) MUST_CHECK;

// Dovecot's tab-escaping: no NUL, TAB, CR or LF is left.
void auth_line_escape(struct span text, struct buf *out);
// The reverse; any bytes have one.
struct span auth_line_unescape(struct span text, struct arena *a);

#endif
