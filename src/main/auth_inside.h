#ifndef MAIN_AUTH_INSIDE_H
#define MAIN_AUTH_INSIDE_H

// The inside of the auth role: its channels to gates and mail, and the logins under way.
// Owner: the role's process. Trust: messages come from gates, which face strangers and may be taken over; what a
// stranger sent is in them unchecked. Threads: the loop's; a password hash runs on the pool.

#include "auth/app_password.h"
#include "auth/lookup.h"
#include "auth/sasl.h"
#include "auth/throttle.h"
#include "io/channel.h"
#include "io/loop.h"
#include "io/message.h"
#include "io/task.h"
#include "main/auth_pace.h"
#include "main/role.h"

#include "base/table.h"

struct auth_channel;

// The setting auth_scram.
enum auth_scram { AUTH_SCRAM_AUTO, AUTH_SCRAM_ALWAYS, AUTH_SCRAM_NEVER };

struct auth_role {
    const struct role_start *start;
    struct loop *loop;
    struct role_link *link;
    struct userdb *db;
    struct throttle *throttle;
    struct pool *pool;
    struct buf ticket_key, domains, delimiters;
    struct {
        struct buf masters, allow, deny;  // with spaces between
        char separator;                   // auth_master_separator; NUL: none
    } settings;
    struct auth_channel *channels;
    struct verb_job *verbs;  // admin verbs whose password is being hashed
    struct buf decoy_hash;   // judged for unknown names in an empty database
    unsigned hashing;        // logins at or waiting for the pool
    struct pace pace;
    struct oauth *oauth;       // auth_token.c; NULL: no tokens
    bool measuring;            // pace_measure is at it
    bool external;             // certificates of clients count
    bool scram[SCRAM_HASHES];  // works for every user, so it is offered
    enum auth_scram scram_mode;
    struct buf offer;  // the mechanisms, as the gates were told
    bool draining;
    struct timer patience;  // of the drain
    struct timer rounds;    // app passwords run out
    int64_t expired_s;      // those that ran out until then were revoked
};

struct auth_channel {
    struct auth_role *role;
    struct channel *channel;
    struct auth_channel *next;
    bool to_mail;          // else to a gate
    struct login *logins;  // hash table by exchange
};

enum login_state {
    LOGIN_CLIENT,       // waits for the client's next response
    LOGIN_DELAY,        // waits before the password or the proof is looked at
    LOGIN_HASHING,      // on the pool: must not be freed
    LOGIN_FINAL,        // SCRAM: the client has to acknowledge the server's proof
    LOGIN_TOKEN,        // the provider is asked
    LOGIN_TOKEN_ERROR,  // the client has to acknowledge the error
    LOGIN_REFUSAL,      // waits before the refusal is sent
};

// One login attempt.
struct login {
    UT_hash_handle hh;
    uint64_t exchange;
    struct auth_channel *at;  // NULL: the gate or the client has gone
    struct auth_role *role;
    enum login_state state;
    struct timer timer;
    uint64_t asked_ms;  // when the client last said something, or a penalty for it was over
    uint64_t judge_ms;  // when the password's turn on the pool began
    struct sasl *sasl;  // NULL for LOGIN-command style
    uint64_t session;
    struct app_password app;  // that it came by; id 0: none
    struct {
        char name[16];      // "imap"
        bool final_ok;      // the protocol sends SCRAM's last data with its success
        bool verdict_only;  // whoever asks opens no session here
    } service;
    bool has_attempt;
    struct attempt attempt;
    struct buf remote, sent_user, password, response;
    struct {
        struct buf target;   // whom the user wants to act for, as sent
        struct name master;  // then: the user who proved to be
        uint64_t account;    // the master's
        char language[LIMIT_user_key +
                      1];  // of the user's folders, if they are made now; or empty
    } acting;
    struct {
        struct buf text;
        uint64_t fetch;  // what the provider is asked of it
    } token;
    struct user
        user;  // the one that is judged: the real, with a decoy's hash when it has none, or the decoy
    struct {
        bool known;      // the real one
        bool elsewhere;  // may not log in from there
        bool broken;     // the database failed when SCRAM asked for keys
        bool
            hashless;  // the real one has no password: an app password or a token it must be
        bool revoked;  // disabled or deleted since it was looked up
    } is;
    enum fault_kind refusal;
    enum result verdict;
    struct fault fault;
};

void login_start(struct auth_channel *at, const struct auth_start *start);
void login_step(struct auth_channel *at, const struct auth_step *step);
void login_abort(struct auth_channel *at, uint64_t exchange);
void login_abort_all(struct auth_channel *at);
// auth_login.c, for a login whose user and place are known
void login_granted(struct login *l);
void login_waits(struct login *l, uint64_t fetch);  // for the provider
void login_refused(struct login *l, const struct fault *f);

// auth_ticket.c: for the gate, which hands it to mail
void login_seal_ticket(const struct login *l, struct buf *out);

// After the password of `name` was right: better hashes than `hash` are made on the pool and written.
void login_upgrade(struct auth_role *role, const struct user *user, struct span password);

// auth_token.c: bearer tokens, by the keys or the word of an identity provider
void token_open(struct auth_role *role);
void token_close(struct auth_role *role);
void token_link(struct auth_role *role, int fd);  // a channel to the role oauth
void token_judge(struct login *l);

// auth_who.c: users, by what a client sends. As sent, or with the first of our domains when there is none.
enum result who_find(struct auth_role *role, struct span sent, struct user *out,
                     struct fault *f) MUST_CHECK;
// The same into l->user, with l->is.elsewhere and l->is.known.
enum result who_find_here(struct login *l, struct span sent, struct fault *f) MUST_CHECK;
// Whose password is judged: l->user. In place of one who is not there stands a decoy; who has none stays, with the decoy's.
enum result who_find_judged(struct login *l, struct span sent, struct fault *f) MUST_CHECK;
sasl_keys_fn who_give_keys;  // `arg` is a login
// Who is to prove it ("root" of "ann*root"); l->target gets for whom, when it is somebody else.
struct span who_split(struct login *l, struct span sent, struct span authzid);
// l->user has proven to be; is l->target from here on, if that may be. FAULT_AUTHZFAILED.
enum result who_become(struct login *l, struct fault *f) MUST_CHECK;
// The user of a verified certificate: a whole name, with no separator in it.
enum result who_by_certificate(struct login *l, const struct sasl_outcome *o,
                               struct fault *f) MUST_CHECK;
bool who_may_come(const struct auth_role *role, struct span remote);

// Is the protocol one of those that `user set` leaves l->user? FAULT_NOPERM. Takes what the ticket tells of the user.
enum result who_may_use(struct login *l, struct fault *f) MUST_CHECK;

// auth_app.c: is it an app password of the user? R_NONE: none; R_FAIL (FAULT_AUTHFAILED): one that does not serve here.
enum result app_judge(struct login *l, struct fault *f) MUST_CHECK;
// Ends the sessions that came by it, and voids the tickets; 0: all of the account.
void auth_revoke(struct auth_role *role, uint64_t account, uint64_t password);
// The same but for who is at one of the networks `keep`; before_ms is now.
void auth_revoke_but(struct auth_role *role, const struct revoked *what);
void app_watch_start(struct auth_role *role);

// auth_verb.c: answers, later when a password is to be hashed. R_FAIL: malformed.
enum result auth_verb(struct auth_channel *at, const struct admin_request *m) MUST_CHECK;
void auth_verb_forget(struct auth_channel *at);  // it goes: nobody is answered
// A text of any length, in as many messages as it takes.
void auth_send_text(struct auth_channel *at, uint64_t request, struct span text,
                    bool failed);
// The same of a failure: its kind and why.
void auth_send_fault(struct auth_channel *at, uint64_t request, const struct fault *f);

// auth_resolve.c: what mail asks of addresses; and what they mean to this server.
void auth_resolve(struct auth_channel *at, const struct resolve_request *m);
struct lookup_rules auth_rules(const struct auth_role *role);

void auth_reply_send(struct auth_channel *at, const struct auth_reply *reply);
// tells the gates when the offer has changed
void auth_offer_update(struct auth_role *role);

#endif
