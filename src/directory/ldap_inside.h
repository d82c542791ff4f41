#ifndef DIRECTORY_LDAP_INSIDE_H
#define DIRECTORY_LDAP_INSIDE_H

// The inside of LDAP: its questions (ldap.c) and its connections (ldap_connect.c). Threads: one at a time.

#include "directory/directory_inside.h"
#include "directory/template.h"

#include <ldap.h>

// A connection to a directory of LDAP, bound as the service; one more for each password that is judged by a bind.
struct ldap {
    const struct directory_settings *settings;
    LDAP *conn;
    uint64_t deadline_ms;
    struct template_names names;  // attributes of the filter that hold an entry's own name
};

struct timeval ldap_time_left(const struct ldap *l);  // until the deadline
// FAULT_UNAVAILABLE, with what the connection (or NULL) says.
enum result ldap_failed(LDAP *conn, const char *what, int rc, struct fault *f);
// The server answers, with a code that says more of this question than of the server: FAULT_BAD.
enum result ldap_refused(LDAP *conn, const char *what, int code, struct fault *f);

bool ldap_wants_starttls(const struct directory_settings *s);
// The next of several with spaces between. R_NONE: no more.
enum result ldap_next_url(struct span *rest, LDAPURLDesc **out) MUST_CHECK;

// A connection with TLS as the settings want it, to the first server that can be reached.
enum result ldap_dial(struct ldap *l, LDAP **out, struct fault *f) MUST_CHECK;
void ldap_set_tls(const struct directory_settings *s, LDAP *conn);
void ldap_hang_up(LDAP **conn);
enum result ldap_await(struct ldap *l, LDAP *conn, int id, const char *what,
                       LDAPMessage **out, struct fault *f) MUST_CHECK;
// *code_out is what the server says.
enum result ldap_bind_to(struct ldap *l, LDAP *conn, const char *dn, struct span password,
                         int *code_out, struct fault *f) MUST_CHECK;
// l->conn anew, bound as the service.
enum result ldap_reconnect(struct ldap *l, struct fault *f) MUST_CHECK;

#endif
