#ifndef MAIL_FILTER_INSIDE_H
#define MAIL_FILTER_INSIDE_H

// The inside of a filter: one delivery on its way through the scripts. Only files filter*.c of mail/ include this. In the
// account's home.

#include "base/hash.h"
#include "base/limits.h"
#include "mail/filter.h"
#include "mail/filter_seen.h"
#include "mail/filter_stored.h"
#include "mail/home.h"
#include "sieve/sieve.h"

#include <stdatomic.h>

struct filter_rules {
    _Atomic unsigned refs;
    struct arena *arena;
    struct filter_settings is;
};
// Of this thread, with a reference; NULL: none.
struct filter_rules *filter_rules_now(void);
bool filter_rules_there(void);
bool filter_rules_run(void);  // does it have scripts that run by themselves?
const struct filter_home *filter_home_now(void);

// filter_cache.c: a script, compiled once. Never changes.
struct filter_program {
    struct filter_program *prev, *next;
    struct hash_wide key;  // of the text
    enum sieve_author author;
    unsigned refs;
    struct arena *arena;
    struct sieve_program *program;  // NULL: it does not compile
    struct sieve_error error;
};
struct filter_program *filter_program_get(struct span text, enum sieve_author author);
void filter_program_put(struct filter_program **p);
void filter_programs_drop(void);  // all that are not in use

struct filter_form;
struct filter_place;
struct filter_run;

struct filter_step {
    struct span name, text;
    bool own;  // the user's
};
static inline enum sieve_author
filter_author(const struct filter_step *s)
{
    return s->own ? SIEVE_USER : SIEVE_ADMINISTRATOR;
}

// filter_stored.c: a mailbox whose messages go through scripts.
struct filter_stored {
    struct account *account;
    struct mail_user *owner;
    bool identified;
    struct view *view;  // the owner's
    struct arena *arena;
    struct filter_rules *rules;
    enum filter_cause cause;
    uint64_t mailbox;
    struct span name, from, user,
        email;          // imap.mailbox, where it was copied from, imap.user, imap.email
    bool as_delivered;  // all scripts of a delivery; else these:
    struct filter_step *steps;
    size_t n, room;
    uint64_t work;                           // that is left
    const struct filter_onlooker *onlooker;  // NULL: nobody looks on
    struct filter_stored_message {
        uint32_t uid;
        struct span flags, changed;  // "\\Seen $x"
        bool deleted;
        struct intake_params params;  // as it is, but \\Deleted
    } message;
};
// What the message would be: flags that are said. Own ones of the run's arena.
void filter_take_flags(struct filter_run *r, struct span flags, struct intake_params *p);
// Into a folder of the same account without a change: R_NONE where it is not so.
enum result filter_stored_copy(struct filter_run *r, const struct filter_place *p,
                               struct intake_result *out, struct fault *f) MUST_CHECK;
// An action cannot be done: the message stays.
void filter_stored_keep(struct filter_run *r, const struct sieve_action *a,
                        struct span name, const struct fault *f);
// What becomes of the message itself: flags, \\Deleted.
enum result filter_stored_settle(struct filter_run *r, struct fault *f) MUST_CHECK;

struct filter_run {
    const struct filter_arrival *in;
    struct filter_stored *stored;  // NULL: it is delivered
    uint64_t work;                 // that its scripts took
    struct account *account;
    struct filter_rules *rules;
    const struct filter_home *home;
    struct arena *arena;
    struct mail_user *user;  // once it was needed: filter_user
    bool identified;         // its groups are known
    int64_t now_s;
    struct sieve_world world;
    struct span original;  // the header as it came
    struct filter_marks marks;
    struct sieve_action *actions;  // of all scripts
    struct sieve_action **last;
    struct {
        struct span header, body;  // as scripts before have made them; p NULL: as they came
    } changed;
    bool keeps;                 // none of the actions takes the mail away from INBOX
    struct sieve_action *keep;  // the last one, explicit or not
    struct filter_failure {
        bool there, own;         // own: the user's script
        struct span name, text;  // of the script
        struct sieve_error error;
    } failure;
    struct filter_form *forms;
    struct {
        struct span name, text;  // of the user's script that ran; p NULL: none did
    } own;
    struct filter_sent {
        struct filter_sent *next;
        struct span target;
        bool pipe;  // a program has it; target: what filter_pipe.c makes of it
    } * sent;       // what went out, also at an earlier attempt
    const struct sieve_action *answer;  // the vacation that is to be sent
    struct {
        unsigned onward;
        bool asked_on, rejected;
    } told;  // as struct filter_result has them
};
// Is it sent on in the name of who wrote it? One with words of its own for DSN or DELIVERBY is the user's own mail (RFC 6009 sections
// 6.1 and 7.1), what becomes of it is nothing to tell the sender.
bool filter_keeps_sender(const struct filter_run *r, const struct sieve_action *redirect);
// Such a redirect is all that becomes of the message: who is next tells the sender (RFC 3461 section 5.2.7.2).
bool filter_asks_on(const struct filter_run *r, const struct sieve_action *redirect);

// Suspends. As whom the scripts run; for names in others' trees, and what makes folders.
enum result filter_user(struct filter_run *r, struct mail_user **out,
                        struct fault *f) MUST_CHECK;
// The mailbox of another's tree, where messages may be put. Suspends.
enum result filter_foreign(struct filter_run *r, struct span name, struct mailbox_ref *ref,
                           struct fault *f) MUST_CHECK;
// filter_world.c: fills r->world.
enum result filter_world(struct filter_run *r, struct fault *f) MUST_CHECK;
// Own mailbox of this name, as scripts write it; 0: there is none.
uint64_t filter_mailbox(struct filter_run *r, struct span name);
uint64_t filter_mailbox_with_id(struct filter_run *r, struct span id);
// `name` p NULL: any.
uint64_t filter_mailbox_with_use(struct filter_run *r, struct span name, struct span use);

// filter_own.c: the user's scripts. R_NONE: there is none.
enum result filter_own_active(struct filter_run *r, struct span *text,
                              struct span *name) MUST_CHECK;
enum result filter_own_named(struct filter_run *r, struct span name,
                             struct span *text) MUST_CHECK;

// filter.c: the scripts and what they say, as a whole. Suspends.
enum result filter_carry_out(struct filter_run *r, struct filter_result *out,
                             struct fault *f) MUST_CHECK;
// filter_stored.c: tells the onlooker what the scripts want. True: and that is all.
bool filter_stored_tell(struct filter_run *r);
// What the user is to be told of a script.
void filter_note_failure(struct filter_run *r, unsigned line, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

// filter_run.c: all scripts, in order; r->actions and the rest of it are what they say. Suspends.
void filter_run_scripts(struct filter_run *r);

// filter_file.c: where the message goes.
struct filter_place {
    struct filter_place *next;
    const struct sieve_action *action;
    struct span name;  // for the log, and of a foreign one
    uint64_t mailbox;  // own; 0: foreign
    struct intake_params params;
    struct intake *intake;
};
// Suspends. Files the message as the actions say, and puts the marks, in one commit.
enum result filter_file(struct filter_run *r, struct filter_result *out,
                        struct fault *f) MUST_CHECK;
void filter_forms_free(struct filter_run *r);

// filter_send.c: what goes out or comes back before the message is filed - redirects, refusals - and behind: answers,
// notifications. Suspends.
enum result filter_send_before(struct filter_run *r, struct filter_result *out,
                               struct fault *f) MUST_CHECK;
void filter_send_behind(struct filter_run *r);

enum { FILTER_SENT_S = 12 * 3600 };  // so long is remembered what went out
// filter_pipe.c: a program gets the message. Suspends. R_FAIL: it has not taken it, `why` says what went wrong.
enum result filter_pipe(struct filter_run *r, const struct sieve_action *a,
                        struct buf *why) MUST_CHECK;
// The delivery fails: programs that have the message do not get it again.
void filter_pipes_remember(struct filter_run *r);

// filter_letter.c. Suspend.
enum result filter_letter_redirect(struct filter_run *r, const struct sieve_action *a,
                                   struct fault *f) MUST_CHECK;
enum result filter_letter_answer(struct filter_run *r, const struct sieve_action *a,
                                 struct fault *f) MUST_CHECK;
enum result filter_letter_notify(struct filter_run *r, const struct sieve_action *a,
                                 struct fault *f) MUST_CHECK;
enum result filter_letter_feedback(struct filter_run *r, const struct sieve_action *a,
                                   struct fault *f) MUST_CHECK;
enum result filter_letter_report(struct filter_run *r, const struct sieve_action *a,
                                 struct fault *f) MUST_CHECK;
// filter_file.c: a copy of what was sent, as the action's :fcc says (RFC 8580). Suspends.
void filter_file_copy(struct filter_run *r, const struct sieve_action *a, struct span text);

// filter_notice.c: tells the user that a script failed. Suspends.
void filter_tell(struct filter_run *r);

#endif
