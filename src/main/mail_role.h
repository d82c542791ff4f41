#ifndef MAIN_MAIL_ROLE_H
#define MAIN_MAIL_ROLE_H

// The inside of the mail role: its home threads, the doors through which connections come in, what it asks auth.
// Owner: the process. Threads: each struct home is touched by its own thread only; struct mail_role does not change
// after its threads run, but for `draining`, which is posted to each, and `users_generation`.

#include "main/role.h"
#include "auth/user_quota.h"
#include "ctl/verb.h"
#include "imap/session.h"
#include "io/conn.h"
#include "io/loop.h"
#include "lmtp/lmtp.h"
#include "mail/index.h"
#include "mail/user.h"
#include "os/peer.h"
#include "pop3/session.h"
#include "relay/relay.h"
#include <pthread.h>
#include <stdatomic.h>

struct event;
struct mail_role;
struct ask;
struct known;
struct lately;
struct reading;
struct revocation;
struct incoming;
struct rawlog;
struct rawlog_wish;
struct rawlog_writer;
struct sending;

enum { TICKET_LIFE_MS = 31000 };  // a little more than a ticket is good for

// A channel to a gate.
struct gate_link {
    struct gate_link *prev, *next;
    struct home *home;
    struct channel *channel;
    uint64_t id;  // never used again in this home
};

// A listening socket that this thread accepts on.
struct door {
    struct door *next;
    struct home *home;
    const struct door_row *row;
    struct event *event;
    struct timer pause;  // while there are no descriptors left
    int fd;
    bool proxy;     // os/listen.h
    char *address;  // as configured
};

// A connection of a user, for who, kick, caps and the drain.
struct session {
    struct session *prev, *next;
    struct home *home;
    struct conn *conn;
    uint64_t account, id;
    uint64_t master_account;  // of who acts for the user; 0: nobody
    uint64_t password;        // id of the app password that it came by; 0: none
    int64_t issued_ms;        // its ticket
    bool read_only;
    bool may_imap;  // its login is good for IMAP
    int64_t since_ms;
    const char *service;
    const char *user, *remote, *local, *master;
    const char *pop3_policy;  // the user's own, as in the ticket
    const char *device;       // name of the app password; "": none
    struct {
        char *p;  // the texts above, one behind the other
        size_t n;
    } texts;
    struct {
        void *of;  // its protocol's; NULL: over, or not begun
        const struct served_ops *ops;
    } served;
    struct {
        struct served_recorder recorder;
        struct rawlog *file;  // NULL: nobody looks on
    } rawlog;
    uint8_t tls;    // enum tls_kind
    uint64_t gate;  // id of the link that it came by
};

// A thread that is the home of accounts.
struct home {
    struct mail_role *role;
    unsigned index;
    pthread_t thread;
    struct loop *loop;
    struct gate_link *gates;
    uint64_t gate_last;
    struct channel *auth;
    struct ask *asks;  // by request id
    uint64_t ask_last;
    struct channel *extract;
    struct reading *readings;  // documents under way, by request id
    uint64_t reading_last;
    bool extract_missed;  // it was waited for in vain
    bool reads_pdf;       // extract has its tool
    struct known *known;  // what auth said of addresses
    struct {
        struct lately *seen;  // serials (mail_gate.c)
        struct revocation
            *revoked;  // while some that were issued before may come, oldest first
        struct lately
            *visits;  // accounts, by POP3, that LOGIN-DELAY counts from (mail_pop3.c)
    } tickets;
    struct session *sessions;
    unsigned session_count;
    struct {
        struct listing *listings;  // mail_who.c: those who look on
        struct tally *accounts;    // sessions of each (mail_session.c)
        struct sending *sendings;  // what they sent in the last hour (mail_submission.c)
    } who;
    struct rawlog_wish *rawlogs;  // of whose sessions (mail_rawlog.c)
    struct {
        struct door *open;
        bool maps;                  // a transfer agent asks here where mail goes
        struct incoming *incoming;  // whose PROXY header is awaited
        unsigned incoming_count;
    } doors;
    struct lmtp_host lmtp;
    const struct config *config;  // as of the last reload
    bool draining;
    struct {
        struct timer patience;
        unsigned steps;
        bool busy;        // it counts in busy_homes
        bool unfinished;  // it ended with sessions left
    } drain;
};

// Work that comes by every account once in a while, in the first home (mail_round.c).
struct mail_round_ops {
    const char *name;
    bool (*wanted)(struct mail_role *r);  // NULL: always
    // Suspends. False: not now, this account and those behind it are to be visited again soon.
    bool (*visit)(struct mail_role *r, uint64_t account);
};
struct mail_round {
    struct mail_role *role;
    const struct mail_round_ops *ops;
    struct timer timer;
    int64_t period_s;
    int64_t upto_s;  // accounts whose second came later are to be visited yet
};

struct mail_role {
    const struct role_start *start;
    struct role_link *link;
    struct store *store;
    struct mail *mail;
    struct home *homes;
    unsigned home_count;
    int descriptors;  // those from this number on are for what the supervisor sends, and for files
    atomic_uint busy_homes;  // while they drain
    struct verb_host host;
    struct mail_ping *pings;     // on their way through the homes
    struct reload_ask *reloads;  // verbs that wait for the supervisor
    uint64_t reload_last;
    struct timer keeping;  // retention and compaction
    struct mail_round expiring, purging;
    struct {
        struct timer timer;
        uint64_t upto;  // accounts up to this one were looked at
        bool at_work, again;
        bool all;  // also those that see to themselves
    } indexing;
    unsigned char ticket_key[32];
    bool has_ticket_key;
    struct rawlog_writer *rawlog;  // rawlog.h
    struct {
        struct buf scripts;  // the administrator's, packed (scripts.c)
        bool there;          // they came
    } filters;
    _Atomic uint64_t users_generation;  // rises when the users may have changed
};

// mail_gate.c: connections that gates hand over
void mail_gate_link(struct home *h, int fd);
void mail_gate_close(struct home *h);
struct gate_link *mail_gate_find(struct home *h, uint64_t id);  // NULL: gone

// mail_lately.c: numbers that came lately, the oldest first.
bool lately_has(const struct lately *all, uint64_t number);
void lately_add(struct lately **all, uint64_t number, uint64_t now_ms);
void lately_forget(struct lately **all, uint64_t before_ms);  // those that came before that

// mail_ask.c: what mail asks of auth. Suspend, in a task of the home's thread.
void mail_ask_link(struct home *h, int fd);
void mail_ask_close(struct home *h);
// R_NONE: no such user. FAULT_UNAVAILABLE: auth is away.
enum result mail_ask_user(struct home *h, struct span address, uint64_t *account_out,
                          struct buf *user_out, struct buf *detail_out,
                          struct fault *f) MUST_CHECK;
// R_NONE: nobody. The answer as io/message.h says it, behind its first octet.
enum result mail_ask_resolve(struct home *h, enum resolve_question question,
                             struct span address, struct buf *out,
                             struct fault *f) MUST_CHECK;
// A user by the whole name, with the groups: packed spans (base/pack.h), in order. Not remembered here.
struct mail_identity {
    uint64_t account, size_limit;  // size_limit 0: as the settings say
    uint8_t sent_copy;             // enum sent_wish
    bool quota_known;
    struct user_quota quota;  // as an outer user database has it
    struct buf *groups;
};
enum result mail_ask_identity(struct home *h, struct span name, struct mail_identity *out,
                              struct fault *f) MUST_CHECK;
enum result mail_ask_admin(struct home *h, struct span verb, const struct span *args,
                           size_t n, struct buf *text, struct fault *f) MUST_CHECK;

// mail_known.c: the same, remembered for LIMIT_recipient_known_ms, and only until a verb changed the user database
// (mail_names_changed), or auth has gone. Suspends.
enum result mail_known_resolve(struct home *h, enum resolve_question question,
                               struct span address, struct buf *out,
                               struct fault *f) MUST_CHECK;
void mail_known_forget(struct home *h);

// mail_quota.c. Suspends. What an outer user database lets the user keep; an account that is not there yet is made where
// there is a limit. What cannot be kept is logged, and asked for again at the next look.
void mail_outer_quota(struct home *h, uint64_t account, struct span user,
                      const struct user_quota *quota);

// mail_identity.c: groups and administrators
// Suspends.
enum result mail_identify(struct home *h, struct mail_user *u, struct fault *f) MUST_CHECK;
// Open users get theirs anew within a moment. Any thread.
void mail_identities_changed(struct mail_role *r);
// One of them. The home's thread.
void mail_identity_changed(struct home *h, uint64_t account);

// What mail_known.c remembers is asked for again. Any thread.
void mail_names_changed(struct mail_role *r);
void mail_users_changed(struct mail_role *r);  // both; any thread

// mail_session.c
// R_FAIL (FAULT_LIMIT) when the user has too many. The session ends with its conn.
enum result session_open(struct home *h, struct conn *conn, const struct handover *ho,
                         const struct ticket *t, struct session **s_out,
                         struct fault *f) MUST_CHECK;
unsigned session_count_of(const struct home *h, uint64_t account);
// For its server: the session is there, before anything is said; it has ended, its connection may go on for a moment.
void session_started(struct session *s, void *of, const struct served_ops *ops);
void session_ended(void *arg);  // a struct session
// The way back to the gate (RFC 8437), a struct session each; closed by the setting "unauthenticate".
bool session_can_give_back(void *arg);
void session_give_back(struct conn **conn, void *arg);
void mail_imap_start(struct session *s, struct mail_user *user, const struct handover *h);
// mail_managesieve.c
void mail_managesieve_start(struct session *s, struct mail_user *user,
                            const struct handover *h);
extern const struct mail_url_users mail_users;  // `arg` is a struct session
bool mail_administers(void *arg);               // the same
// Suspends. What test_mount says.
enum result mail_mount_for_test(struct home *h, struct mail_user *u,
                                struct fault *f) MUST_CHECK;
// Ends what came that way; tickets that are still to come find it said (session_is_revoked).
void session_revoke(struct home *h, const struct revoked *r);
bool session_is_revoked(struct home *h, const struct ticket *t, struct span remote);
void session_revocations_free(struct home *h);
// of the user; "": everybody; session 0: all
unsigned session_kick(struct home *h, struct span user, uint64_t session);

// mail_pop3.c
// FAULT_TOOSOON: pop3_login_delay; FAULT_INUSE: pop3_lock.
enum result mail_pop3_admit(struct home *h, const struct ticket *t,
                            struct fault *f) MUST_CHECK;
void mail_pop3_start(struct session *s, struct mail_user *u, const struct handover *h);
void mail_pop3_close(struct home *h);

// mail_submission.c
void mail_submission_start(struct session *s, struct mail_user *u,
                           const struct handover *h);
void mail_submission_close(struct home *h);

// mail_outgoing.c. Suspends. Hands a mail to the relay: a header, then a text, then what an intake has from `at` on (NULL: nothing).
struct mail_outgoing {
    struct span head, text;
    const struct intake *body;
    uint64_t at;
};
enum result mail_outgoing_send(const struct relay_envelope *e,
                               const struct mail_outgoing *m, uint64_t *id_out,
                               struct fault *f) MUST_CHECK;

// mail_who.c. Suspends. Each session of the user ("": of all), in order, as a row.
void mail_who_forget(struct home *h, const struct session *s);  // it ends
void mail_who(struct mail_role *r, struct span user, void (*row)(void *to, struct span row),
              void *to);

// mail_rawlog.c: sessions whose talk is written down
void mail_rawlog_begin(struct session *s);  // if its user's are
void mail_rawlog_end(struct session *s);
// In the account's home. until_s 0: no more. Tells how many sessions are open.
enum result mail_rawlog_set(struct home *h, uint64_t account, int64_t until_s,
                            unsigned *sessions_out, struct fault *f) MUST_CHECK;
void mail_rawlog_close(struct home *h);

// mail_door.c: listening sockets. One row per service that mail itself accepts.
struct door_row {
    const char *service;
    bool every_thread;  // else only the first
    // owns fd; not in a task. `ends`: whose connection it is, where a proxy passes it on
    void (*accept)(struct home *h, int fd, const struct peer_ends *ends);
};
// A connection does not get such a descriptor: without what the supervisor sends mail could only end, and all sessions with it.
bool mail_is_kept(const struct mail_role *r, int fd);
void mail_door_open(struct mail_role *r, const struct listen_socket *s, int fd);
void mail_door_close(struct mail_role *r, const struct listen_socket *s);
void mail_door_close_all(struct home *h);

// mail_reload.c: what a reload and the supervisor's pings ask of the role
// What IMAP takes of the settings.
void mail_imap_settings(const struct config *c);
struct mail_entries mail_entries_of(const struct config *c);
void mail_reload_settings(struct mail_role *r, const struct config *c);
void mail_reload_ping(struct mail_role *r, uint64_t serial);
void mail_reload_ping_free(struct mail_role *r);
// Suspends, in the first home. Rows for the person; a text where it failed.
enum result mail_reload_ask(struct mail_role *r, struct buf *text,
                            struct fault *f) MUST_CHECK;
void mail_reload_answer(struct mail_role *r, const struct admin_reply *reply);

// mail_expire.c: expire, by the server itself; in the first home
void mail_expire_start(struct mail_role *r);

// mail_round.c
void mail_round_start(struct mail_round *round, struct mail_role *r, int64_t period_s,
                      const struct mail_round_ops *ops);
void mail_round_stop(struct mail_round *round);

// mail_extract.c: documents that the role extract makes text of
void mail_extract_link(struct home *h, int fd);
void mail_extract_close(struct home *h);
void mail_extract_host(struct mail_role *r);  // fills what mail/attachment.h asks for

// mail_relay.c: mail that goes out (relay/relay.h), and reports that come back
void mail_relay_host(struct mail_role *r);  // before any thread
void mail_relay_link(struct home *h, int fd);
void mail_relay_close(void);  // of this thread

// mail_pipe.c: what mail asks of the role pipe
void mail_pipe_link(struct home *h, int fd);
void mail_pipe_close(void);  // of this thread
// mail_scan.c: what mail asks of the role scan
void mail_scan_link(struct home *h, int fd);
void mail_scan_host(struct mail_role *r);  // before any thread
void mail_scan_drain(void);                // of this thread: what nobody waits for ends
void mail_scan_close(void);                // of this thread

// mail_index.c: after the start every account is indexed as far as that is due, one after the other; and of messages that are gone nothing is
// kept in it for long
void mail_index_start(struct mail_role *r);
// As the settings say. True: accounts may be due that were not.
bool mail_index_configure(struct mail_role *r, const struct config *c);
void mail_index_again(struct mail_role *r);  // they are looked at once more
void mail_index_log(struct account *a, const char *event, const struct fault *f);

// mail_filter.c: the rules of filters. In the first home.
void mail_filter_set(struct mail_role *r, const struct config *c);
// Letters to the relay, of filters and of LMTP. The second suspends.
struct filter_letter;
bool mail_can_send(void *arg);
enum result mail_send_letter(void *arg, const struct filter_letter *l,
                             struct fault *f) MUST_CHECK;
void mail_filter_scripts(struct mail_role *r, struct span packed);
void mail_filter_close(void);  // in each home, at its end

// mail_lmtp.c
void mail_lmtp_accept(struct home *h, int fd, const struct peer_ends *ends);
void mail_policy_accept(struct home *h, int fd, const struct peer_ends *ends);
void mail_maps_accept(struct home *h, int fd, const struct peer_ends *ends);
void mail_lmtp_host(struct home *h);  // fills h->lmtp

// mail_admin.c
void mail_admin_accept(struct home *h, int fd, const struct peer_ends *ends);
void mail_admin_host(struct mail_role *r);  // fills r->host

#endif
