#ifndef CTL_VERB_H
#define CTL_VERB_H

// A verb is a row of verbs.def: `posthorn NOUN VERB ARGUMENTS`. Its run function works on an open store and is the
// same whether a server runs (then in the mail role, reached by data/admin.sock) or not (then in the command's own
// process, under data/lock). What needs the person's files or terminal happens on the command's side: a feed makes
// the verb's input, a sink takes its output.
// Trust: arguments come from root or the service user.

#include "ctl/config.h"
#include "base/field.h"

struct mail;
struct verb_call;

// What a running verb may use besides the store. Functions marked "Suspends." are called in a task.
struct verb_host {
    const struct config *config;
    struct mail *mail;
    void *arg;
    // Suspends. A user verb, carried out by auth; its rows (field_put_row) are put into `rows`.
    enum result (*users)(void *arg, struct span verb, const struct span *args, size_t n,
                         struct buf *rows, struct fault *f);
    // Suspends. R_NONE: no such user.
    enum result (*find_user)(void *arg, struct span name, uint64_t *account_out,
                             struct buf *user_out, struct fault *f);
    // NULL where no server runs. Suspend. A row for each session of a user ("": all), in order, to `row`, which may suspend;
    // ends a user's sessions, or the one with this id, and tells how many that were.
    void (*who)(void *arg, struct span user, void (*row)(void *to, struct span row),
                void *to);
    unsigned (*kick)(void *arg, struct span user, uint64_t session);
    // Suspends. What an account's sessions say is written to files until then (seconds; 0: no more). *sessions_out: of
    // those that are open.
    enum result (*rawlog)(void *arg, uint64_t account, int64_t until_s,
                          unsigned *sessions_out, struct fault *f);
    // NULL where no server runs. Suspends. A verb of `posthorn queue`, carried out by the role relay.
    enum result (*queue)(void *arg, struct span verb, const struct span *args, size_t n,
                         struct buf *rows, struct fault *f);
    // NULL where no server runs. Suspends. Reads the configuration again; puts what came of it: rows.
    enum result (*reload)(void *arg, struct buf *text, struct fault *f);
};

// A verb at work: one task in the process that holds the store.
typedef enum result verb_run_fn(struct verb_call *c, struct fault *f);
const struct verb_host *verb_host(const struct verb_call *c);
size_t verb_arg_count(const struct verb_call *c);
struct span verb_arg(const struct verb_call *c, size_t i);  // SPAN_NONE past the last
struct span verb_words(const struct verb_call *c);          // "user add"
bool verb_has_feed(const struct verb_call *c);
// Suspends. The user that a person names: as it is, or in one of our domains. FAULT_NONEXISTENT.
enum result verb_find_user(struct verb_call *c, struct span name, uint64_t *account_out,
                           struct buf *user_out, struct fault *f) MUST_CHECK;
// What a verb says is a row: a type ("mailbox") and fields; the command's side makes text or JSON of it.
// Suspends (all five).
void verb_row(struct verb_call *c, const char *type, const struct field *fields, size_t n);
// rows of field_put_row; FAULT_SERVERBUG when they are none
enum result verb_rows(struct verb_call *c, struct span rows, struct fault *f) MUST_CHECK;
enum result verb_notes(struct verb_call *c, struct span rows, struct fault *f) MUST_CHECK;
// progress, warnings
void verb_note(struct verb_call *c, const char *type, const struct field *fields, size_t n);
// octets for the row's sink: a backup, an export
void verb_out(struct verb_call *c, struct span s);
// Suspends. Up to len octets of what the feed sent; *n_out 0: there is no more.
enum result verb_in(struct verb_call *c, char *dst, size_t len, size_t *n_out,
                    struct fault *f) MUST_CHECK;

// Everything that the feed sends, up to b->max; it may be a secret.
enum result verb_in_all(struct verb_call *c, struct buf *b, struct fault *f) MUST_CHECK;

// The command's side. A feed sends the verb's input piece by piece; a sink takes its output.
struct verb_client;
typedef enum result verb_feed_fn(struct verb_client *c, struct fault *f);
typedef enum result verb_sink_fn(struct verb_client *c, struct span bytes, struct fault *f);
// R_FAIL: the verb ended already; its status tells why. Blocks.
enum result verb_client_put(struct verb_client *c, struct span bytes,
                            struct fault *f) MUST_CHECK;
// Until fd can be read; what the verb says meanwhile is taken. R_FAIL as above. Blocks.
enum result verb_client_wait(struct verb_client *c, int fd, struct fault *f) MUST_CHECK;
struct span verb_client_arg(const struct verb_client *c, size_t i);
// for feed and sink; the sink is called with SPAN_NONE at the end
void **verb_client_state(struct verb_client *c);

enum verb_where {
    VERB_LOCAL,   // neither store nor server: `local` runs in the command's process
    VERB_STORE,   // in the server when one runs, else here
    VERB_SERVER,  // only in a server
    // only while no server runs; opens the store itself (rebuild, restore without --user)
    VERB_OFFLINE,
};

// import from a server
struct pull_options {
    const char *password_file, *token_file, *master, *users, *timeout, *rate, *report,
        *uidl_format;
    bool plaintext, tls_unverified;
};

// sieve test
struct envelope_options {
    const char *from, *to;
};

struct verb_options {
    const char *file, *data;        // -c FILE, --data DIR
    const char *offset, *password;  // demo
    const char *user, *folder;      // import, export, sieve
    bool json;                      // --json: output_open heard it already
    bool version, help;
    const char *since;  // mailbox undelete
    struct {
        bool dry_run, trace;
    };
    const char *to, *uid, *message_id, *emailid;  // restore
    const char *protocol, *expires;               // user password add
    const char *time;                             // rawlog --for
    bool read_only;
    struct envelope_options envelope;
    const char *service, *address;       // auth test
    const char *resolver, *authorities;  // --resolver; --ca (import, too)
    struct pull_options pull;
};

// A VERB_LOCAL or VERB_OFFLINE verb: returns the exit code.
typedef int verb_local_fn(const struct verb_options *o, const char *const *args, size_t n);

struct verb {
    const char *words;  // "user add"
    const char *usage;  // "NAME [--for TIME]"
    unsigned args_min,
        args_max;  // words; the options of the usage are arguments behind them
    enum verb_where where;
    verb_run_fn *run;
    verb_local_fn *local;
    verb_feed_fn *feed;
    verb_sink_fn *sink;  // NULL: standard output
    const char *help;
    unsigned sent_max;  // how many arguments `local` gives to `run`
    bool begins;        // makes the store where there is none
};

extern const struct verb verbs[];
extern const size_t verbs_count;

// The whole command line: finds the row, does it, returns the exit code (0 done, 1 failed, 2 wrong usage).
int verb_main(int argc, char **argv);

#endif
