#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

// The HTTP server: documents that set mail clients up (offers.h) for anybody, and for the administrator's networks health and
// metrics. One request for each connection, which has LIMIT_http_ms in all. Framing is libevent's (evhttp).
// Owner: the role http. Threads: its loop's. Trust: all input is from strangers; nothing here is secret but the key of the
// certificate, which OpenSSL holds.

#include "http/offers.h"
#include "os/network.h"

#include <openssl/ssl.h>

struct http_options {
    struct offers offers;
    struct network_list admins;  // who may see health and metrics
    void *arg;
    SSL *(*accept)(void *arg);  // a TLS connection, server side
    // Puts what is signed by the server's certificate (CMS) into *out; R_NONE: there is none.
    enum result (*sign)(void *arg, struct span content, struct buf *out);
    bool (*is_ready)(void *arg);                  // logins and deliveries work
    void (*metrics)(void *arg, struct buf *out);  // in Prometheus' text form
};

struct http_server;
// The options are borrowed; what they say may change between requests.
struct http_server *http_server_new(const struct http_options *o);
// Takes a listening descriptor over.
void http_server_listen(struct http_server *s, struct span address, bool tls, int fd);
void http_server_unlisten(struct http_server *s, struct span address, bool tls);
void http_server_free(struct http_server **s);  // closes everything at once

#endif
