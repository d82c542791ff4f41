#ifndef MAIL_ACCOUNT_H
#define MAIL_ACCOUNT_H

// An account has one home: the loop thread that owns its state while it is in use. All else reaches the
// state by running a function there (account_run). This header is what sessions see; the state itself is in
// mail/home.h, for the files of this folder.
// Owner: counted references (one per user of the account); the account leaves memory some time after the last.
// Threads: any loop, in a task.

#include "base/arena.h"
#include "store/store.h"

struct loop;
struct mail;
struct account;

// The server's shared entries of METADATA, which are settings. All text must live as long as the mail.
struct mail_entries {
    const char *comment, *admin;   // "" or NULL: none
    const char *imapsieve_script;  // RFC 6785 section 2.3.1; the same
    // RFC 5466: rows of a name, a blank and the value
    const char *const *filters, *const *descriptions;
    size_t filter_count, description_count;
};

struct mail_options {
    struct store *store;
    struct loop **homes;
    unsigned home_count;
    // "en", "de": names of the standard folders of new accounts
    const char *folder_language;
    uint64_t message_size_max;
    const struct mail_entries *entries;  // NULL: none
    // Deliberately broken builds of the fault harness only: answers before the commit.
    bool test_ack_before_commit;
    // At random moments what may go or be packed at any moment does: states, or tables too.
    enum { TEST_PACKING_OFF, TEST_PACKING_STATES, TEST_PACKING_ALL } test_packing;
};

struct mail *mail_new(const struct mail_options *o);
// What may change while it works, from any thread. `folder_language` must live as long as the mail.
void mail_settings(struct mail *m, const char *folder_language, uint64_t message_size_max);
// The same; from one thread. The struct itself is copied.
void mail_entries_set(struct mail *m, const struct mail_entries *e);
const struct mail_entries *mail_entries(const struct mail *m);
// Keywords that the server sets at intake: enum mark (marks.h). From any thread.
void mail_marks_set(struct mail *m, unsigned marks);
unsigned mail_marks(const struct mail *m);
// Which flags each user has of their own on mailboxes that several see: enum message_flag, without \Deleted; \Seen from the
// start. From any thread.
void mail_private_flags_set(struct mail *m, uint16_t flags);
uint16_t mail_private_flags(const struct mail *m);
const char *mail_folder_language(const struct mail *m);
void mail_free(struct mail **m);  // all accounts closed, loops stopped
struct store *mail_store(struct mail *m);
uint64_t mail_size_max(const struct mail *m);
struct loop *mail_home(struct mail *m, uint64_t account);
unsigned mail_home_index(struct mail *m, uint64_t account);

// Suspends. Opens the account; makes it (standard folders, subscribed) when it is not there and create is set,
// else R_NONE.
enum result account_open(struct mail *m, uint64_t id, struct span user, bool create,
                         struct account **a_out, struct fault *f) MUST_CHECK;
// The same with create; what is made has its standard folders in this language (empty: as the settings say).
enum result account_make(struct mail *m, uint64_t id, struct span user,
                         struct span language, struct account **a_out,
                         struct fault *f) MUST_CHECK;
void account_close(struct account **a);  // takes NULL; does not suspend
// Others than the owner have it: the owner's own flags are not told to them from now on (mail/private.h). From any thread.
void account_shared(struct account *a);
uint64_t account_id(const struct account *a);
struct span account_user(const struct account *a);
struct mail *account_mail(const struct account *a);

// In the home: a command of the user begins, and ends. FAULT_LIMIT: LIMIT_commands_per_user are at work already.
enum result account_command_begin(struct account *a, struct fault *f) MUST_CHECK;
void account_command_end(struct account *a);

// Suspends. Runs fn(arg) in the account's home: inline when that is this thread.
void account_run(struct account *a, void (*fn)(void *arg), void *arg);

// Ids as clients see them (RFC 8474: EMAILID, THREADID, MAILBOXID).
enum { MAIL_ID_TEXT = 18 };
void mail_id_text(char prefix, uint64_t id, char out[MAIL_ID_TEXT]);  // 'E', 'T', 'F'
// And back; 0, which no id is, for any other text.
uint64_t mail_id_from(char prefix, struct span text);

// Suspends. Drops what deleted users had of their own in mailboxes of others, forgotten tombstones and dead bodies of all
// accounts (retention).
enum result mail_compact(struct mail *m, int64_t now_s, uint64_t *freed_out,
                         struct fault *f) MUST_CHECK;

#endif
