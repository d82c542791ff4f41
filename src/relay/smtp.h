#ifndef RELAY_SMTP_H
#define RELAY_SMTP_H

// The client's side of SMTP (RFC 5321), with one smarthost, over a connection that is used for one mail after another. Every
// step has a deadline (section 4.5.3.2); everything that the other side says is capped (relay/reply.h).
// Owner: the task that opened it. All but smtp_offers suspend.
// Trust: whoever answers may be hostile: its certificate is verified where there is TLS, nothing said before TLS counts.

#include "relay/queue_file.h"
#include "relay/reply.h"
#include <openssl/types.h>

struct pool;

enum smtp_tls { SMTP_TLS_STARTTLS, SMTP_TLS_IMPLICIT, SMTP_TLS_NONE };

struct smarthost {
    const char *name;  // as the settings have it: the certificate must be for it
    const char *port;
    enum smtp_tls tls;
    SSL_CTX *trust;    // NULL with SMTP_TLS_NONE
    const char *user;  // "": no AUTH
    const char *password;
    const char *hostname;  // ours, for EHLO
    uint32_t patience_ms;  // no step may take longer; 0: the usual deadlines
};

struct smtp;

// Blocks: looks the name up and connects, within the usual deadline or patience_ms.
enum result relay_connect(const struct smarthost *host, int *fd_out,
                          struct fault *f) MUST_CHECK;
// From a connected socket, which is the callee's, to an EHLO that was answered, behind TLS and AUTH. R_FAIL: no mail can be
// sent.
enum result smtp_open(const struct smarthost *host, int fd, struct smtp **out,
                      struct fault *f) MUST_CHECK;
const struct smtp_offer *smtp_offers(const struct smtp *s);

struct smtp_mail {
    struct queue_mail *mail;
    int fd;             // the queue's file
    int folder;         // where a text that is to be recoded has room
    struct pool *pool;  // that reads it
    size_t *which;      // recipients of the transaction
    size_t n;
    struct smtp_reply *replies;  // one for each of `which`: what became of it
    int64_t now_s;
};

// The text as this smarthost is sent it: that of the queue's file, or one that was recoded for it (relay/recode.h).
struct smtp_text {
    int fd;
    bool recoded;  // fd is its own
    bool utf8;     // asks for SMTPUTF8
    bool binary;   // BDAT and BODY=BINARYMIME (RFC 3030); else lines
    uint64_t at, n, wire_n;
    uint32_t traits;
};
// Suspends. R_NONE: the mail cannot be sent by what this smarthost offers; *no_out says why. R_OK: smtp_text_done when it was sent.
enum result smtp_prepare(const struct smtp *s, const struct smtp_mail *m,
                         struct smtp_text *out, struct smtp_reply *no_out,
                         struct fault *f) MUST_CHECK;
void smtp_text_done(struct smtp_text *t);
// The same answer to one whose address needs SMTPUTF8, where the mail of the others does not.
void smtp_reply_no_utf8(struct smtp_reply *out);
// One transaction. R_OK: all replies are final for now, and the connection may be used again. R_FAIL: the connection is of
// no use any more; replies that were not answered have code 0.
enum result smtp_send(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *t,
                      struct fault *f) MUST_CHECK;
// Nothing says that it has ended.
bool smtp_alive(const struct smtp *s);
// Was anything of the last transaction answered, but for a 421 to its MAIL? If not, it never began.
bool smtp_heard(const struct smtp *s);
// Did it end behind a whole text, without an answer? Then the other side may have the mail, or not (RFC 5321 section 4.5.3.2.6).
bool smtp_unsure(const struct smtp *s);
unsigned smtp_mails(const struct smtp *s);  // sent so far
void smtp_close(struct smtp **s);           // QUIT, when it still answers

#endif
