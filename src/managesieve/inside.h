#ifndef MANAGESIEVE_INSIDE_H
#define MANAGESIEVE_INSIDE_H

// The inside of a session. Only files of managesieve/ include this.

#include "io/loop.h"
#include "managesieve/grammar.h"
#include "managesieve/session.h"

struct managesieve_session {
    struct conn *conn;
    struct mail_user *user;
    struct managesieve_host host;
    char *mechanisms;      // that the connection was offered; "": not known
    const char *bye;       // the session is ending, and why; NULL before
    bool busy;             // a task runs for it
    bool leaving;          // the connection goes back to the host after the command
    bool draining;         // BYE is to be said after the command
    bool is_check;         // what is thrown away is a CHECKSCRIPT
    uint8_t bad_commands;  // in a row
    struct managesieve_reader reader;
    struct managesieve_command *command;      // while a task runs one
    struct timer timer;                       // autologout
    uint64_t input_ms;                        // when the client last said something
    uint64_t id;                              // for the log
    const struct served_recorder *recorder;   // NULL: nobody looks on
    struct managesieve_session *prev, *next;  // all of this thread
};

// One command while it runs; lives in its own arena.
struct managesieve_command {
    struct managesieve_session *session;
    struct arena *arena;
    struct span text;
    struct span strings[2];  // p NULL: not given
    uint32_t number;
    // the answer; code and text may be ""
    const char *status, *code;
    struct buf words;
};

// command.c. Suspends; runs a command and answers it.
void managesieve_run(struct managesieve_command *c);
bool managesieve_is_known(struct span command);
// session.c
void managesieve_say(struct managesieve_session *s, const char *status, const char *code,
                     const char *text);
void managesieve_bye(struct managesieve_session *s, const char *code, const char *text);
void managesieve_say_fault(struct managesieve_session *s, enum fault_kind kind);

#endif
