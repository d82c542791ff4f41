#ifndef GATE_MTA_H
#define GATE_MTA_H

// An mta is a connection on which a mail transfer agent asks, in Dovecot's authentication protocol (wire/auth_line.h),
// whether its clients are who they say they are: Postfix by smtpd_sasl_type = dovecot, Exim by driver = dovecot. Each
// request is one exchange with auth, many at a time; no session here follows.
// Owner: the gate. Threads: its loop's. Trust: who may connect is named by the administrator (networks, the mode of unix
// sockets); what is sent may still be a stranger's, or the agent taken over. What it says of its client's address and TLS is
// believed; that client certificates are valid is not, so EXTERNAL is not offered, nor -PLUS: the channel is not ours.

#include "base/buf.h"

#include <sys/socket.h>

struct gate;
struct mta;

// Of one gate.
struct mtas {
    struct mta *list;
    unsigned count, requests;
    uint32_t last;  // number of a connection (CUID)
};

// Takes fd over; refuses strangers and too many.
void mta_admit(struct gate *g, int fd, const struct sockaddr_storage *peer);
void mta_offer_came(struct gate *g);  // auth's: who waited for it is greeted
void mta_drain(struct gate *g);       // fails what is under way, then ends all
void mta_close_all(struct gate *g);   // at once

#endif
