#ifndef POP3_PREAUTH_INSIDE_H
#define POP3_PREAUTH_INSIDE_H

// The inside of POP3's preauth machine: preauth.c frames what comes in, preauth_verbs.c runs the commands.
// Owner: the gate's connection. Threads: one.

#include "pop3/language.h"
#include "pop3/preauth.h"
#include "base/limits.h"

struct pop3_preauth {
    struct preauth frame;
    struct buf user;     // of USER
    struct buf offered;  // capabilities that are told again after login
    uint8_t mode;        // enum pop3_mode
    enum language language;
};
static inline struct pop3_preauth *
pop3_preauth_of(struct preauth *m)
{
    return (struct pop3_preauth *)m;
}

void pop3_preauth_say(struct preauth *m, bool ok, const char *code, const char *text);
void pop3_preauth_say_bad(struct preauth *m, const char *text);  // and counts it
// Runs a command, without its line end.
void pop3_preauth_dispatch(struct preauth *m, struct span line);
// Capabilities that depend on the connection, into `offered`.
void pop3_preauth_offer(struct preauth *m);

#endif
