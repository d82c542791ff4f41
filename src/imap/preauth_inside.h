#ifndef IMAP_PREAUTH_INSIDE_H
#define IMAP_PREAUTH_INSIDE_H

// The inside of IMAP's preauth machine: preauth.c frames what comes in, preauth_verbs.c runs the commands.
// Owner: the gate's connection. Threads: one.

#include "imap/language.h"
#include "imap/preauth.h"
#include "base/limits.h"
#include "wire/command.h"
#include "wire/parse.h"

struct imap_preauth {
    struct preauth frame;
    struct command_reader reader;
    size_t tag_n;
    char tag[LIMIT_tag];
    struct buf client_id;
    enum language language;
};
static inline struct imap_preauth *
imap_preauth_of(struct preauth *m)
{
    return (struct imap_preauth *)m;
}
static inline struct span
imap_preauth_tag(struct preauth *m)
{
    return span_of(imap_preauth_of(m)->tag, imap_preauth_of(m)->tag_n);
}

// with the command's tag
void imap_preauth_say(struct preauth *m, const char *status, const char *text);
void imap_preauth_say_line(struct preauth *m, const char *line);
void imap_preauth_bye(struct preauth *m, const char *text);
void imap_preauth_say_bad(struct preauth *m, const char *text);  // and counts it
void imap_preauth_greet(struct preauth *m);
// Runs the command whose tag and verb are read.
void imap_preauth_dispatch(struct preauth *m, struct span verb, struct parse *p);

#endif
