#ifndef POP3_PREAUTH_INSIDE_H
#define POP3_PREAUTH_INSIDE_H

// The inside of POP3's preauth machine: preauth.c frames what comes in, preauth_verbs.c runs the commands.
// Owner: the gate's connection. Threads: one.

#include "pop3/language.h"
#include "pop3/preauth.h"
#include "base/limits.h"

struct preauth {
    const struct preauth_facts *facts;
    const struct preauth_ops *ops;
    void *gate;
    enum preauth_state state;
    bool in_sasl;  // the next line is a SASL response
    bool is_lost;  // and there is no exchange any more
    enum fault_kind lost_to;
    bool is_pass;  // the exchange under way came from PASS
    unsigned bad;
    struct buf user;     // of USER
    struct buf offered;  // capabilities that are told again after login
    uint8_t mode;        // enum pop3_mode
    enum language language;
};

void pop3_preauth_say(struct preauth *m, bool ok, const char *code, const char *text);
void pop3_preauth_say_bad(struct preauth *m, const char *text);  // and counts it
void pop3_preauth_refuse(struct preauth *m, enum fault_kind kind);
void pop3_preauth_finish(struct preauth *m);
// Runs a command, without its line end.
void pop3_preauth_dispatch(struct preauth *m, struct span line);
// Capabilities that depend on the connection, into m->offered.
void pop3_preauth_offer(struct preauth *m);

#endif
