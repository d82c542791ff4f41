#ifndef CTL_SINK_H
#define CTL_SINK_H

// The command's side of `export`: takes parcels and writes files below a directory that it makes.
// Owner: the verb's client, until the end of the process.

#include "ctl/parcel.h"
#include "ctl/verb.h"

struct sink_format;

struct sink {
    const struct sink_format *format;
    void *state;  // of the format
    struct buf in;
    int root;
    struct arena *arena;
    bool mailbox_open, message_open;
    bool skipping;  // the mailbox could not be made
    uint64_t problems;
    FILE *facts;          // ctl/account_file.h; NULL: none came yet
    FILE *subscriptions;  // the same
};

// One row per format. Between a mailbox and the next come messages; a message that is not ended is dropped.
struct sink_format {
    const char *name;
    const char *subscriptions;  // the file's name
    void *(*open)(struct sink *s);
    // FAULT_CANNOT: this mailbox is left out. Other faults end the export.
    enum result (*mailbox)(struct sink *s, const struct parcel_mailbox *m, struct fault *f);
    enum result (*message)(struct sink *s, const struct parcel_message *m, struct fault *f);
    enum result (*octets)(struct sink *s, struct span bytes, struct fault *f);
    enum result (*message_end)(struct sink *s, bool whole, struct fault *f);
    enum result (*mailbox_end)(struct sink *s, struct fault *f);
    void (*done)(struct sink *s);
};

extern const struct sink_format sink_maildir, sink_mbox;

void sink_problem(struct sink *s, struct span where, const char *why);

#endif
