#ifndef SIEVE_SIEVE_H
#define SIEVE_SIEVE_H

// Sieve (RFC 5228): a script is compiled once into a small checked program; a program runs over one message and leaves a list
// of actions. Nothing is done here: whoever runs it (LMTP, IMAPSIEVE, FILTER=SIEVE, a test) does what the list says.
// Whatever goes wrong while it runs - an error, a limit - ends in the implicit keep and a message for the user.
// Owner: the program belongs to the arena given to sieve_compile, the outcome to the arena given to sieve_run.
// Trust: scripts and messages may be any bytes. Threads: one at a time; a compiled program is never changed.

#include "base/arena.h"
#include "base/buf.h"
#include "mime/scan.h"

struct sieve_program;

struct sieve_error {
    unsigned line, column;  // from 1; 0: the script as a whole
    char text[240];
};

// Whose script it is, and who may have vnd.dovecot.pipe, which starts programs: nobody; the administrator; users, too.
enum sieve_author { SIEVE_NOBODY, SIEVE_ADMINISTRATOR, SIEVE_USER };
// Before the first thread; without it nobody may.
void sieve_offer_pipe(enum sieve_author who);

enum result sieve_compile(struct arena *a, enum sieve_author author, struct span script,
                          struct sieve_program **out, struct sieve_error *e) MUST_CHECK;
// Calls for what a good script says that it may not mean: more redirects than a run may do.
void sieve_warn(const struct sieve_program *p, unsigned redirects_max,
                void (*tell)(void *arg, unsigned line, const char *text), void *arg);
// The script again, in one form: white space, comments and the form of strings are gone. R_FAIL: no grammatical script.
enum result sieve_print(struct span script, struct buf *out,
                        struct sieve_error *e) MUST_CHECK;
// Where a program runs: at delivery; by what an IMAP command did to a message (RFC 6785); over stored mail, because somebody
// asked (FILTER=SIEVE).
enum sieve_stage { SIEVE_DELIVERY, SIEVE_EVENT, SIEVE_ASKED };
// The capability it requires that is of no use there; NULL: it may run.
const char *sieve_out_of_place(const struct sieve_program *p, enum sieve_stage stage);
// One call for each capability string that a user may `require`, in the order of ext.def.
void sieve_capabilities(void (*tell)(void *arg, const char *capability, const char *rfc),
                        void *arg);

enum sieve_action_kind {
#define ACTION(id, name) SIEVE_##id,
#include "sieve/actions.def"
#undef ACTION
    SIEVE_ACTIONS
};

// A word of an action ("copy", "flags \Seen"): what its tagged arguments mean.
struct sieve_detail {
    const char *name;
    struct span value;
    struct sieve_detail *next;
};

struct sieve_action {
    enum sieve_action_kind kind;
    struct span target;  // mailbox, address, text or method: the action's own argument
    struct sieve_detail *details;  // in the order of sieve_detail_put
    struct span
        header;  // the message's header as it was edited when this came; SPAN_NONE: as it came
    struct span
        body;  // in its place, the message's body as it was changed; SPAN_NONE: as it came
    bool implicit;        // the implicit keep
    unsigned line;        // of the script; 0: none
    struct span because;  // the test that led here: "line 3: header :is ..."; empty: none
    struct sieve_action *next;
};

const char *sieve_action_name(enum sieve_action_kind kind);
// SPAN_NONE (p is NULL): not there. Several of one name: the first.
struct span sieve_detail(const struct sieve_action *a, const char *name);
// Of a fileinto: what :mailboxid or :specialuse say, before its name counts; p is NULL where neither does.
struct span sieve_place(const struct sieve_action *a);
bool sieve_has_detail(const struct sieve_action *a, const char *name);

// As the language writes it: fileinto :copy :flags "\\Seen" "Lists"; the implicit keep: keep (implicit).
void sieve_action_print(struct buf *b, const struct sieve_action *a);

struct sieve_outcome {
    struct sieve_action *actions;
    bool failed;  // the implicit keep stands for what the script could not do
    struct sieve_error error;
    uint64_t work;  // units of LIMIT_sieve_work
};

// Where a script runs. A callback that is NULL: nothing of that kind is known.
struct sieve_world {
    struct {
        enum sieve_stage stage;
        struct span
            flags;  // that the message has, "\\Seen $x"; p NULL: it is new (RFC 5232)
        struct span
            name;  // of the script, among the user's own; empty: it is none of these
    };
    struct span header;            // of the message, with its empty line
    uint64_t size;                 // of the message
    const struct mime_part *root;  // of the message (mime/scan.h)
    // n octets of the message from `at`
    void *read_arg;
    enum result (*read)(void *read_arg, uint64_t at, char *dst, size_t n, struct fault *f);
    bool has_envelope;
    struct span from, to;  // of the envelope, without brackets
    char separator;        // of localparts and details (RFC 5233)
    struct {
        int64_t now_s;  // since 1970, UTC
        int zone_min;   // east of UTC
    };
    struct {
        uint64_t work_max;       // 0: LIMIT_sieve_work
        unsigned redirects_max;  // 0: none
    };

    void *arg;
    // other parts of the envelope ("auth", "orcpt", "bymode"), decoded; "notify" as in RCPT TO, "bytimerelative" what is
    // left of it now; R_NONE: there is none
    enum result (*envelope)(void *arg, struct span part, struct span *out);
    // items of RFC 5183 ("domain", "host", "remote-ip", "vnd.dovecot.username")
    enum result (*environment)(void *arg, struct span item, struct span *out);
    enum result (*mailbox_exists)(void *arg, struct span name);
    enum result (*mailbox_with_id)(void *arg, struct span id, struct span *name_out);
    // mailbox SPAN_NONE: any of the user
    enum result (*mailbox_with_use)(void *arg, struct span mailbox, struct span use);
    // of a mailbox, or (SPAN_NONE) of the server
    enum result (*metadata)(void *arg, struct span mailbox, struct span entry,
                            struct span *out);
    // Was this id seen? It is remembered for so long once the mail was delivered (RFC 7352).
    enum result (*duplicate)(void *arg, struct span id, uint64_t seconds, bool last,
                             bool *seen_out);
    // "spam" or "virus": 0-10 and 0-5; percent 0-100 for spam; R_NONE: not tested
    enum result (*verdict)(void *arg, bool virus, unsigned *value_out,
                           unsigned *percent_out);
    // of the user, or (global) of the administrator
    enum result (*script)(void *arg, bool global, struct span name, struct span *out);
    // Is it an address of the user, beside `to`? R_NONE: not, as far as is known.
    enum result (*is_own)(void *arg, struct span address);
    // Called now and then, some milliseconds apart: others may have their turn. May suspend.
    void (*rest)(void *arg);
    // what the program does, line by line
    void (*trace)(void *arg, unsigned line, struct span text);
};

// R_FAIL never happens for what a script or message does: see outcome->failed. Suspends where callbacks do.
void sieve_run(struct arena *a, const struct sieve_program *p,
               const struct sieve_world *world, struct sieve_outcome *out);

// A list of addresses as a field has it: names beyond ASCII as encoded words (RFC 2047 section 5), addresses as they are.
void sieve_put_mailboxes(struct buf *b, struct arena *a, struct span list);

// A world with a message in memory, at this time, and nothing else. Lines may end with bare LF.
void sieve_world_of(struct arena *a, struct span message, struct sieve_world *out);

#endif
