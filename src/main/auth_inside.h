#ifndef MAIN_AUTH_INSIDE_H
#define MAIN_AUTH_INSIDE_H

// The inside of the auth role: its channels to gates and mail, and the logins under way.
// Owner: the role's process. Trust: messages come from gates, which face strangers and may be taken over; what a
// stranger sent is in them unchecked. Threads: the loop's; a password hash runs on the pool.

#include "auth/app_password.h"
#include "auth/lookup.h"
#include "auth/sasl.h"
#include "auth/throttle.h"
#include "auth/user_quota.h"
#include "io/channel.h"
#include "io/loop.h"
#include "io/message.h"
#include "io/task.h"
#include "main/auth_pace.h"
#include "main/role.h"

#include "base/table.h"

struct auth_channel;
struct outer;
struct recheck;
struct trial;

// The setting auth_scram.
enum auth_scram { AUTH_SCRAM_AUTO, AUTH_SCRAM_ALWAYS, AUTH_SCRAM_NEVER };

struct auth_role {
    const struct role_start *start;
    struct loop *loop;
    struct role_link *link;
    struct userdb *db;
    struct throttle *throttle;
    struct pool *pool;
    struct buf ticket_key, domains;
    struct {
        struct buf masters, allow, deny;  // with spaces between
        struct buf delimiters;
        char separator;  // auth_master_separator; NUL: none
        bool stays;      // nothing goes elsewhere: there is neither `maps` nor `relay_host`
    } settings;
    struct auth_channel *channels;
    struct verb_job *verbs;  // admin verbs whose password is being hashed
    struct buf decoy_hash;   // judged for unknown names in an empty database
    unsigned hashing;        // logins at or waiting for the pool
    struct pace pace;
    struct oauth *oauth;  // auth_token.c; NULL: no tokens
    struct {
        enum user_source order[USER_SOURCES];
        size_t n;
        struct outer *outer;       // auth_outer.c; NULL: there is only our own
        struct recheck *recheck;   // auth_recheck.c; the same
        struct listing *listings;  // auth_listing.c
    } bases;                       // the user databases
    bool measuring;                // pace_measure is at it
    bool external;                 // certificates of clients count
    bool scram[SCRAM_HASHES];      // works for every user, so it is offered
    enum auth_scram scram_mode;
    struct buf offer;  // the mechanisms, as the gates were told
    bool draining;
    struct timer patience;  // of the drain
    struct timer rounds;    // app passwords run out
    int64_t expired_s;      // those that ran out until then were revoked
};

// One who asks outer user databases. What is not known yet makes a search fail with `waiting` set; when the answer is there
// `again` is called, and the same search goes on.
struct ask {
    struct ask *prev, *next;  // in the ring of those who wait for the same
    uint64_t since_ms;        // what was answered since is good
    bool fresh;               // and nothing that was kept from before
    bool kept;                // some of that was used
    bool waiting;
    unsigned count;   // questions
    uint8_t verdict;  // enum directory_verdict, of the last one
    void (*again)(void *arg);
    void *arg;
};

struct auth_channel {
    struct auth_role *role;
    struct channel *channel;
    struct auth_channel *next;
    bool to_mail;                  // else to a gate
    struct recipient *recipients;  // auth_lookup.c: lookups that wait
    struct login *logins;          // hash table by exchange
};

enum login_state {
    LOGIN_CLIENT,       // waits for the client's next response
    LOGIN_DELAY,        // waits before the password or the proof is looked at
    LOGIN_HASHING,      // on the pool: must not be freed
    LOGIN_FINAL,        // SCRAM: the client has to acknowledge the server's proof
    LOGIN_TOKEN,        // the provider is asked
    LOGIN_DIRECTORY,    // an outer user database is asked
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
    struct {
        struct ask ask;
        void (*goes_on)(struct login *l);  // from LOGIN_DIRECTORY
        struct span final;                 // server data with success, the mechanism's
        uint64_t judged;    // digest of the hash that the password is wrong for; 0: none
        uint64_t judge_ms;  // when the password's turn on the pool began
        uint64_t digest;    // outer_digest of who logs in, as they were found
        bool ended_others;  // sessions of before, and tickets of until now
    } outer;                // how it goes on where outer databases are asked
    struct sasl *sasl;      // NULL for LOGIN-command style
    uint64_t session;
    struct app_password app;  // that it came by; id 0: none
    struct {
        char name[16];        // "imap"
        bool final_ok;        // the protocol sends SCRAM's last data with its success
        bool verdict_only;    // whoever asks opens no session here
        struct trial *trial;  // auth_trial.c: an administrator tries it; else NULL
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
        char pop3[2 * LIMIT_user_key + 2];  // as the ticket has it
    } acting;
    struct {
        struct buf text;
        uint64_t fetch;  // what the provider is asked of it
    } token;
    struct user
        user;  // the one that is judged: the real, with a decoy's hash when it has none, or the decoy
    struct {
        bool found;      // there is a user of that name, in l->user
        bool known;      // the real one
        bool elsewhere;  // may not log in from there
        bool broken;     // the database failed when SCRAM asked for keys
        bool
            hashless;  // the real one has no password: an app password or a token it must be
        bool revoked;  // disabled or deleted since it was looked up
        bool imap;     // the user may use IMAP, whatever the service is
    } is;
    enum fault_kind refusal;
    enum result verdict;
    struct fault fault;
};

void login_start(struct auth_channel *at, const struct auth_start *start);
// The same for an administrator, who is answered by trial_granted or trial_refused. R_FAIL: too many are under way.
enum result login_try(struct auth_channel *at, const struct auth_start *start,
                      struct trial *trial) MUST_CHECK;
void login_step(struct auth_channel *at, const struct auth_step *step);
void login_abort(struct auth_channel *at, uint64_t exchange);
void login_abort_all(struct auth_channel *at);
// auth_login.c, for a login whose user and place are known
void login_granted(struct login *l);
// Now, or after a penalty; not in a mechanism that first tells the error.
void login_deny(struct login *l, enum fault_kind kind, const char *why);
void login_deny_for(struct login *l, const struct fault *f);
// l->outer.ask waits: on its answer.
void login_asks(struct login *l, void (*goes_on)(struct login *l));
void login_free(struct login *l);
void login_waits(struct login *l, uint64_t fetch);  // for the provider
void login_refused(struct login *l, const struct fault *f);

// auth_ticket.c: l->user is granted, with a ticket that the gate hands to mail; `final` is the mechanism's last data
void login_grant(struct login *l, struct span final);

// auth_judge.c: the user of l->sent_user and l->password: look_up ends in judge, that in login_granted or login_deny.
void login_look_up(struct login *l);
void login_judge(struct login *l);
// The certificate was verified; whose it is may be asked for.
void login_by_certificate(struct login *l, struct span user, struct span authzid);
const char *login_unknown_why(const struct login *l);

// After the password of `name` was right: better hashes than `hash` are made on the pool and written.
void login_upgrade(struct auth_role *role, const struct user *user, struct span password);

// auth_token.c: bearer tokens, by the keys or the word of an identity provider
void token_open(struct auth_role *role);
void token_close(struct auth_role *role);
void token_link(struct auth_role *role, int fd);  // a channel to the role oauth
void token_judge(struct login *l);

// auth_who.c: users, by what a client sends. As sent, or with the first of our domains when there is none, or without one of ours.
enum result who_find(struct auth_role *role, struct ask *a, struct span sent,
                     struct user *out, struct fault *f) MUST_CHECK;
// The user of this name in its normal form, and no other.
enum result who_find_name(struct auth_role *role, struct ask *a, struct span name,
                          struct user *out, struct fault *f) MUST_CHECK;
// The same into l->user, with l->is.elsewhere and l->is.known.
enum result who_find_here(struct login *l, struct span sent, struct fault *f) MUST_CHECK;
// Whose password is judged: l->user. In place of one who is not there stands a decoy; who has none stays, with the decoy's.
enum result who_find_judged(struct login *l, struct span sent, struct fault *f) MUST_CHECK;
sasl_keys_fn who_give_keys;  // `arg` is a login
// Who is to prove it ("root" of "ann*root"); l->target gets for whom, when it is somebody else.
struct span who_split(struct login *l, struct span sent, struct span authzid);
// l->user has proven to be; is l->target from here on, if that may be. FAULT_AUTHZFAILED.
enum result who_become(struct login *l, struct fault *f) MUST_CHECK;
// The user of a verified certificate, in l->sent_user: a whole name, with no separator in it.
enum result who_by_certificate(struct login *l, struct fault *f) MUST_CHECK;
bool who_may_come(const struct auth_role *role, struct span remote);

// Is the protocol one of those that `user set` leaves l->user? FAULT_NOPERM. Takes what the ticket tells of the user.
enum result who_may_use(struct login *l, struct fault *f) MUST_CHECK;

// auth_app.c: is it an app password of the user? R_NONE: none; R_FAIL (FAULT_EXPIRED, FAULT_NOPERM): one that does not serve here.
enum result app_judge(struct login *l, struct fault *f) MUST_CHECK;
// Ends the sessions that came by it, and voids the tickets; 0: all of the account.
void auth_revoke(struct auth_role *role, uint64_t account, uint64_t password);
// All of the account, since its password is another: logins that know already (outer_digest) go on.
void auth_revoke_older(struct auth_role *role, uint64_t account, uint64_t digest);
// The same but for who is at one of the networks `keep`; before_ms is now.
void auth_revoke_but(struct auth_role *role, const struct revoked *what);
void app_watch_start(struct auth_role *role);

// auth_ask.c
void ask_init(struct ask *a, void (*again)(void *arg), void *arg);
void ask_anew(struct ask *a);  // nothing that was answered until now is good
void ask_cancel(struct ask *a);
// A ring begins as an ask that is its own neighbour.
void ask_ring_add(struct ask *ring, struct ask *a);
void ask_ring_move(struct ask *from, struct ask *to);
// Whoever is called may cancel others of the ring.
void ask_wake_all(struct ask *ring, uint8_t verdict);

// auth_listing.c: who is in the outer databases, for `user list`. `again` is called later: with the names (u8 enum user_source
// and a span each, packed), R_OK, or what went wrong. At the role's end nobody is called.
struct listing;
struct listing *listing_start(struct auth_role *role,
                              void (*again)(void *arg, enum result r, struct span names,
                                            const struct fault *f),
                              void *arg);
enum result listing_take(struct auth_role *role, struct span body) MUST_CHECK;
void listing_lost(struct auth_role *role);  // directory went away
void listing_close(struct auth_role *role);

// auth_outer.c: the outer user databases
struct channel *outer_directory(const struct auth_role *role);  // NULL: away
void outer_open(struct auth_role *role);  // and the order of all databases
void outer_close(struct auth_role *role);
void outer_settings(struct auth_role *role, const struct config *c);
void outer_link(struct auth_role *role, struct span peer, int fd);
// R_NONE: not there. R_FAIL: a->waiting, or it cannot be said now.
enum result outer_find(struct auth_role *role, enum user_source source, struct ask *a,
                       struct span name, struct user *out, struct fault *f) MUST_CHECK;
// Asks whether it is the password of a user that `there` is; the answer is a->verdict.
enum result outer_verify(struct auth_role *role, const struct user *u, struct span password,
                         struct span remote, struct ask *a, struct fault *f) MUST_CHECK;
// What a database says of a user who was just found; borrowed until the next answer. Nothing for our own.
void outer_texts(struct auth_role *role, const struct user *u, struct span *networks_out,
                 struct span *groups_out);
uint64_t outer_digest(struct auth_role *role, const struct user *u);
// Of their groups and quota, as the database has them; never 0.
uint64_t outer_identity_digest(struct auth_role *role, const struct user *u);
// What the user may keep; of our own nothing is said. False: it is not known now.
bool outer_quota(struct auth_role *role, const struct user *u, struct user_quota *out);

// auth_recheck.c: who logged in, and is still there? True: sessions of before have ended, since the password is another.
bool recheck_granted(struct auth_role *role, const struct user *u);
// The same of one whom mail has a session of: perhaps from before auth was started.
void recheck_seen(struct auth_role *role, const struct user *u);
// Mail asks again who this user is.
void auth_tell_changed(struct auth_role *role, uint64_t account);
// There is nobody of that name, or they are disabled.
void recheck_missed(struct auth_role *role, struct span name);
void recheck_all(struct auth_role *role);  // soon
void recheck_settings(struct auth_role *role, const struct config *c);
void recheck_start(struct auth_role *role);
void recheck_stop(struct auth_role *role);

// auth_lookup.c: names, identities and addresses, for mail
void lookup_answer(struct auth_channel *at, const struct lookup *m);
void lookup_resolve(struct auth_channel *at, const struct resolve_request *m);
void lookup_forget(struct auth_channel *at);  // it goes: nobody is answered
// A user's groups, those of their database behind our own: packed spans.
enum result lookup_groups(struct auth_role *role, const struct user *u, struct buf *out,
                          struct fault *f) MUST_CHECK;

// auth_verb.c: answers, later when a password is to be hashed. R_FAIL: malformed.
enum result auth_verb(struct auth_channel *at, const struct admin_request *m) MUST_CHECK;
void auth_verb_forget(struct auth_channel *at);  // it goes: nobody is answered
// auth_trial.c: `auth test`. R_FAIL: malformed. trial_granted and trial_refused end the login, trial_note says why.
enum result trial_start(struct auth_channel *at, const struct admin_request *m) MUST_CHECK;
void trial_granted(struct login *l);
void trial_refused(struct login *l);
void trial_note(struct login *l, const char *why);
void trial_free(struct trial **t);
// A text of any length, in as many messages as it takes.
void auth_send_text(struct auth_channel *at, uint64_t request, struct span text,
                    bool failed);
// The same of a failure: its kind and why.
void auth_send_fault(struct auth_channel *at, uint64_t request, const struct fault *f);

// auth_resolve.c: what mail asks of addresses; and what they mean to this server.
// Nothing is sent where `ask` waits: the question comes again.
void auth_resolve(struct auth_channel *at, const struct resolve_request *m,
                  const struct lookup_rules *rules, const struct ask *ask);
struct lookup_rules auth_rules(const struct auth_role *role);

void auth_reply_send(struct auth_channel *at, const struct auth_reply *reply);
// tells the gates when the offer has changed
void auth_offer_update(struct auth_role *role);

#endif
