#ifndef IMAP_PREAUTH_INSIDE_H
#define IMAP_PREAUTH_INSIDE_H

// The inside of IMAP's preauth machine: preauth.c frames what comes in, preauth_verbs.c runs the commands.
// Owner: the gate's connection. Threads: one.

#include "imap/language.h"
#include "imap/preauth.h"
#include "base/limits.h"
#include "wire/command.h"
#include "wire/parse.h"

struct preauth {
    const struct preauth_facts *facts;
    const struct preauth_ops *ops;
    void *gate;
    enum preauth_state state;
    bool in_sasl;  // the next line is a SASL response
    bool is_lost;  // and there is no exchange any more
    enum fault_kind lost_to;
    bool is_login;  // the exchange under way came from LOGIN
    unsigned bad;
    struct command_reader reader;
    size_t tag_n;
    char tag[LIMIT_tag];
    struct buf client_id;
    enum language language;
};

// with the command's tag
void preauth_say(struct preauth *m, const char *status, const char *text);
void preauth_say_line(struct preauth *m, const char *line);
void preauth_bye(struct preauth *m, const char *text);
void preauth_say_bad(struct preauth *m, const char *text);  // and counts it
void preauth_count_bad(struct preauth *m);  // the last one ends the connection
// a login, worded by preauth_reply.def
void preauth_refuse(struct preauth *m, enum fault_kind kind);
void preauth_finish(struct preauth *m);
void preauth_greet(struct preauth *m);
// Runs the command whose tag and verb are read.
void preauth_dispatch(struct preauth *m, struct span verb, struct parse *p);

#endif
