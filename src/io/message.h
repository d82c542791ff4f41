#ifndef IO_MESSAGE_H
#define IO_MESSAGE_H

// The messages between roles: one struct each, with put and get. Fields are spans borrowed from the
// message body. All variable data is capped by LIMIT_channel_message.

#include "base/pack.h"

enum message_type {
    MESSAGE_AUTH_START = 1,  // gate -> auth   struct auth_start
    MESSAGE_AUTH_STEP,       // gate -> auth   struct auth_step: the client's next response
    MESSAGE_AUTH_ABORT,  // gate -> auth   struct auth_step without data: the client went or sent "*"
    MESSAGE_AUTH_REPLY,  // auth -> gate   struct auth_reply
    MESSAGE_HANDOVER,    // gate -> mail   struct handover, with the client's descriptor
    MESSAGE_GIVEBACK,  // mail -> gate   struct handover, with the descriptor (UNAUTHENTICATE)
    MESSAGE_LOOKUP,    // mail -> auth   struct lookup: a user
    MESSAGE_LOOKUP_REPLY,  // auth -> mail   struct lookup_reply
    MESSAGE_ADMIN,  // mail -> auth   struct admin_request: user verbs of the admin socket
    MESSAGE_ADMIN_REPLY,  // auth -> mail   struct admin_reply
    MESSAGE_LISTEN,  // supervisor -> gate, mail   struct listen_socket, with the listening descriptor
    MESSAGE_PEER,  // supervisor -> any   struct peer, with a channel descriptor to another role
    MESSAGE_SECRET,  // supervisor -> any   struct secret: certificates, keys, ticket MAC key
    MESSAGE_READY,   // any -> supervisor: sandboxed and serving
    MESSAGE_DRAIN,   // supervisor -> any: stop accepting, say BYE, end
    MESSAGE_AUTH_OFFER,  // auth -> gate   struct auth_offer: at the start and when it changes
    MESSAGE_SETTINGS,  // supervisor -> any   struct secret, in pieces: the configuration after a reload
    MESSAGE_UNLISTEN,  // supervisor -> gate, mail   struct listen_socket: accept no more there
    MESSAGE_PING,      // supervisor -> any   struct ping
    MESSAGE_PONG,  // any -> supervisor   struct ping: all messages before that PING are done
    MESSAGE_LOST,  // mail -> supervisor   struct peer: the channel to that role, of that thread, is gone while both live
    MESSAGE_RELOAD,        // mail -> supervisor   struct ping: somebody asks for a reload
    MESSAGE_RELOADED,      // supervisor -> mail   struct admin_reply
    MESSAGE_EXTRACT_ROOM,  // mail -> extract   struct extract_room, with the memfd for the text
    MESSAGE_EXTRACT,  // mail -> extract   struct extract_request, with the document as a memfd
    MESSAGE_EXTRACT_REPLY,  // extract -> mail   struct extract_reply
    MESSAGE_EXTRACT_OFFER,  // extract -> mail   struct extract_offer: at the start
    MESSAGE_TOKEN_FETCH,    // auth -> oauth   struct token_fetch
    MESSAGE_TOKEN_FETCHED,  // oauth -> auth   struct admin_reply: what the provider answered
    MESSAGE_REVOKED,        // auth -> mail   struct revoked: sessions end, tickets are void
    MESSAGE_RESOLVE,  // mail -> auth   struct resolve_request, answered by struct admin_reply
    MESSAGE_DIRECTORY_ASK,      // auth -> directory, pam   struct directory_ask
    MESSAGE_DIRECTORY_ANSWER,   // directory, pam -> auth   struct directory_answer
    MESSAGE_DIRECTORY_LIST,     // auth -> directory       struct directory_list
    MESSAGE_DIRECTORY_NAMES,    // directory -> auth       struct directory_names
    MESSAGE_DIRECTORY_CHANGED,  // directory -> auth   struct directory_changed
    MESSAGE_IDENTITY_CHANGED,   // auth -> mail   struct identity_changed
    MESSAGE_RELAY_ENVELOPE,  // mail -> relay   struct relay_begin, with a memfd: the envelope (relay/envelope.h)
    MESSAGE_RELAY_SUBMIT,  // mail -> relay   struct relay_submit, with the text's descriptor
    MESSAGE_RELAY_TAKEN,   // relay -> mail   struct relay_taken
    MESSAGE_RELAY_RETURN,  // relay -> mail   struct relay_return, with a report's descriptor
    MESSAGE_RELAY_RETURNED,  // mail -> relay   struct relay_returned
    MESSAGE_SCAN_ASK,        // mail -> scan   struct scan_ask, with the text's descriptor
    MESSAGE_SCAN_ANSWER,     // scan -> mail   struct scan_answer
    MESSAGE_PIPE_ASK,     // mail -> pipe   struct pipe_ask, with the message's descriptor
    MESSAGE_PIPE_ANSWER,  // pipe -> mail   struct pipe_answer
};

enum tls_kind {
    TLS_NONE,
    TLS_STARTTLS,
    TLS_IMPLICIT,
    TLS_PROXY
};  // PROXY: a trusted proxy has it

// What is known of the connection's TLS; in every authentication from the first version.
struct tls_facts {
    uint8_t kind;          // enum tls_kind
    struct span protocol;  // "TLSv1.3"
    struct span cipher;
    struct span exporter;  // RFC 9266 tls-exporter, 32 octets, empty without TLS
    // the user that the client's certificate names, verified; empty without one
    struct span certificate;
    struct span server_name;  // SNI
};

struct auth_start {
    uint64_t exchange;    // chosen by the gate; unique on its channel
    struct span service;  // "imap", "pop3", ...
    // "PLAIN", "LOGIN", "SCRAM-SHA-256", ...; "" for LOGIN command style
    struct span mechanism;
    bool has_initial;
    struct span initial;         // decoded
    struct span user, password;  // only when mechanism is ""
    struct span remote, local;   // addresses as text
    uint64_t session;            // session id for the log
    bool final_ok;               // there is a place for SCRAM's last data with success
    bool verdict_only;           // no session follows: no ticket
    struct tls_facts tls;
};

struct auth_step {
    uint64_t exchange;
    struct span response;  // decoded
};

// The SASL mechanisms that work for every user now (users without SCRAM keys withdraw SCRAM). A gate
// that has none yet offers "PLAIN LOGIN".
struct auth_offer {
    struct span mechanisms;  // in order of preference, separated by spaces
};

enum auth_verdict { AUTH_CONTINUE, AUTH_OK, AUTH_REFUSED };

struct auth_reply {
    uint64_t exchange;
    uint8_t verdict;  // enum auth_verdict
    uint8_t fault;    // enum fault_kind when refused
    // challenge; with AUTH_OK the final server data, only with final_ok (the others get it in a last challenge)
    struct span data;
    struct span
        user;  // normalised user name, with AUTH_OK; as sent, where it is known, when refused
    struct span device;  // the app password's name, with AUTH_OK by one: for the log
    struct span master;  // who acts for the user, with AUTH_OK: for the log
    struct span ticket;  // sealed ticket, with AUTH_OK but for verdict_only
    // with AUTH_OK: tells the gate which mail thread is the account's home
    uint64_t account;
};

// A connection on its way to (or back from) the mail role.
struct handover {
    struct span service;  // "imap"
    struct span ticket;   // checked by mail: MAC, expiry, single use
    uint64_t session;
    struct span tag;  // the LOGIN or AUTHENTICATE command's tag: mail sends its tagged OK
    struct span remote, local;
    struct tls_facts tls;
    struct span client_id;  // ID command's parameters as sent, for the log
    uint8_t language;       // of texts, as the protocol counts them
    uint8_t mode;           // what the client switched on, as the protocol counts it
    struct span offered;    // capabilities that are told again after login (POP3)
    struct span unread;     // bytes read but not consumed
    // final server data to be sent with success, where the protocol has a place
    struct span sasl_final;
};

enum ticket_rights {
    TICKET_READ_ONLY = 1,
    TICKET_IMAP = 2,  // the same login may use IMAP, too
};

struct ticket {
    uint64_t account;
    uint64_t rights;    // enum ticket_rights
    uint64_t password;  // id of the app password that was used; 0: the account's own
    uint64_t session;
    int64_t issued_ms;  // CLOCK_MONOTONIC, as all processes have it
    int64_t expiry_ms;  // 30 s after issue
    uint64_t serial;    // single use
    struct span user;
    struct span master;       // who acts for the user; empty: they themselves
    struct span device;       // the name of the app password
    uint64_t master_account;  // 0: nobody
    struct span language;     // of the folders of a new account; empty: as the setting
    struct span pop3;         // "hide 30": what POP3 deletes and when, "-": as the settings
};

struct lookup {
    uint64_t request;
    struct span address;  // "user+detail@domain", after RFC 5321 unquoting
    uint8_t identity;     // 1: `address` is a user's name, and the groups are wanted
};

struct lookup_reply {
    uint64_t request;
    uint8_t found;  // 0 no such user, 1 found, 2 temporary failure
    uint64_t account;
    struct span user, detail;
    struct span groups;   // packed spans, in order; of an identity
    uint64_t size_limit;  // of an identity: octets of a message; 0: none of their own
    uint8_t sent_copy;    // of an identity: 0 as the setting, 1 yes, 2 no
    bool quota_known;     // of an identity: what an outer user database lets them keep
    uint64_t quota_storage, quota_messages;  // auth/user_quota.h
};

// What mail asks of an address. The text of the answer is packed (base/pack.h): u8 1, or 0: nobody; then
enum resolve_question {
    // who gets its mail here, and elsewhere: u64 account (0: elsewhere), span name, span detail, u64 size limit (0: none of
    // their own), span folder language (empty: as the setting), u8 is their quota known, u64 octets and
    // u64 messages of it (auth/user_quota.h), of each
    RESOLVE_Q_MAIL,
    // the same without the forwards of users, which the transfer agent has followed already
    RESOLVE_Q_DELIVERY,
    RESOLVE_Q_ALIAS,    // what the transfer agent is to put in its place: spans
    RESOLVE_Q_SENDERS,  // the names of users who may send as it: spans
    RESOLVE_Q_DOMAIN,   // is this domain ours?
    RESOLVE_Q_LAST = RESOLVE_Q_DOMAIN
};
struct resolve_request {
    uint64_t request;
    uint8_t question;     // enum resolve_question
    struct span address;  // after RFC 5321 unquoting
};

struct admin_request {
    uint64_t request;
    struct span verb;  // "user add", "user list", ...
    struct span args;  // packed spans
};

enum admin_verdict {
    ADMIN_DONE,
    ADMIN_FAILED,
    ADMIN_MORE
};  // MORE: the text goes on in the next reply

struct admin_reply {
    uint64_t request;
    uint8_t failed;    // enum admin_verdict
    struct span text;  // lines for the person
};

struct listen_socket {
    struct span service;  // "imap", "imaps", "lmtp", "admin", ...
    uint8_t tls;          // enum tls_kind offered
    struct span address;  // as configured, for the log
    bool proxy;           // proxies begin by a header of the PROXY protocol there
};

struct peer {
    struct span role;  // "auth", "mail"
    uint32_t index;    // which process or mail thread of it
};

struct secret {
    struct span name;  // "certificate", "key", "ticket"; values may come in several pieces
    struct span value;
    uint8_t more;  // 1: another piece of the same name follows
};

struct ping {
    uint64_t
        serial;  // of PING and PONG; of RELOAD its number, which comes back in RELOADED
};

// Comes right before the request that it belongs to.
struct extract_room {
    uint64_t request;
};

struct extract_request {
    uint64_t request;  // chosen by mail; unique on its channel
    uint8_t kind;      // enum extract_kind
};

struct extract_reply {
    uint64_t request;
    uint8_t verdict;  // enum extract_verdict
    uint64_t octets;  // of text in the memfd
    uint32_t ms;      // that it took
};

// The URLs are in the settings of the role oauth, never in the message.
enum token_fetch_kind { TOKEN_FETCH_KEYS, TOKEN_FETCH_INTROSPECTION };
struct token_fetch {
    uint64_t request;
    uint8_t kind;       // enum token_fetch_kind
    struct span token;  // of an introspection
};

// Tickets and sessions of an account that came until then by one app password (0: by any way at all) are void.
struct revoked {
    uint64_t account, password;
    int64_t before_ms;
    struct span
        keep;  // networks (auth/nets.h): who logged in from there stays; empty: nobody does
};

// A user of an outer database is looked for, or their password is judged there.
struct directory_ask {
    uint64_t request;
    uint8_t source;  // enum user_source
    bool verify;
    struct span name;
    struct span password, remote;  // with verify
};

enum directory_verdict {
    DIRECTORY_NONE,   // no such user
    DIRECTORY_FOUND,  // or: the password is right
    DIRECTORY_WRONG,  // it is not
    DIRECTORY_LATER,  // the database cannot say now
};

struct directory_answer {
    uint64_t request;
    uint8_t verdict;  // enum directory_verdict
    bool disabled;
    bool there;            // passwords are judged there
    struct span hash;      // as the database has it; empty: none
    struct span networks;  // where they may log in from; empty: everywhere
    struct span groups;    // with spaces or commas between
    uint64_t quota_storage, quota_messages;  // auth/user_quota.h
};

// Who is in a database. The answer comes in pieces, in no order.
struct directory_list {
    uint64_t request;
    uint8_t source;  // enum user_source
};
enum directory_names_kind {
    DIRECTORY_NAMES_MORE,
    DIRECTORY_NAMES_LAST,
    DIRECTORY_NAMES_FAILED,   // what came before counts not
    DIRECTORY_NAMES_UNKNOWN,  // the settings do not say how they are listed
};
struct directory_names {
    uint64_t request;
    uint8_t kind;
    struct span names;  // packed spans (base/pack.h); FAILED: why
};

// What that database has said until now is old.
struct directory_changed {
    uint8_t source;
};

// The groups of that user are others: to be asked for again.
struct identity_changed {
    uint64_t account;
};

// Comes right before the text of the same request.
struct relay_begin {
    uint64_t request;  // chosen by mail; unique on its channel
};
struct relay_submit {
    uint64_t request;
    uint64_t at, size;  // of the text in its descriptor
};
struct relay_taken {
    uint64_t request;
    uint8_t fault;  // enum fault_kind; FAULT_COUNT: it is in the queue
    uint64_t id;    // of the queue's entry
    struct span why;
};

// A report about mail that did not arrive, for its sender, if that is a user here.
struct relay_return {
    uint64_t request;  // chosen by relay
    uint64_t at, size;
    struct span address;
};
enum relay_return_verdict {
    RELAY_RETURN_DONE,
    RELAY_RETURN_ELSEWHERE,  // nobody here has that address
    RELAY_RETURN_LATER,
    RELAY_RETURN_REFUSED,  // it will never be taken
    RELAY_RETURN_VERDICTS
};
struct relay_returned {
    uint64_t request;
    uint8_t verdict;  // enum relay_return_verdict
};

// A text for a service outside, and what it said.
struct scan_ask {
    uint64_t request;   // chosen by mail; unique on its channel
    uint8_t kind;       // enum scan_kind
    uint64_t size;      // of the text, which begins where its descriptor does
    struct span about;  // as scan/scan.h packs it
};
struct scan_answer {
    uint64_t request;
    uint8_t status;    // enum scan_status
    struct span text;  // as scan/scan.h packs it
};

// A message for a program, and what became of it.
struct pipe_ask {
    uint64_t request;   // chosen by mail; unique on its channel
    uint64_t size;      // of the message, which is its whole file
    struct span about;  // as pipe/pipe.h packs it
};
struct pipe_answer {
    uint64_t request;
    uint8_t status;  // enum pipe_status
};

struct extract_offer {
    uint8_t pdf;  // the tool for PDF is there
};

#define MESSAGE_CODEC(name)                                                                \
    void name##_put(struct buf *b, const struct name *m);                                  \
    enum result name##_get(struct span body, struct name *m_out) MUST_CHECK;

MESSAGE_CODEC(auth_start)
MESSAGE_CODEC(auth_step)
MESSAGE_CODEC(auth_reply)
MESSAGE_CODEC(auth_offer)
MESSAGE_CODEC(handover)
MESSAGE_CODEC(ticket)
MESSAGE_CODEC(lookup)
MESSAGE_CODEC(lookup_reply)
MESSAGE_CODEC(resolve_request)
MESSAGE_CODEC(admin_request)
MESSAGE_CODEC(admin_reply)
MESSAGE_CODEC(listen_socket)
MESSAGE_CODEC(peer)
MESSAGE_CODEC(secret)
MESSAGE_CODEC(ping)
MESSAGE_CODEC(extract_room)
MESSAGE_CODEC(extract_request)
MESSAGE_CODEC(extract_reply)
MESSAGE_CODEC(extract_offer)
MESSAGE_CODEC(revoked)
MESSAGE_CODEC(token_fetch)
MESSAGE_CODEC(directory_ask)
MESSAGE_CODEC(directory_answer)
MESSAGE_CODEC(directory_list)
MESSAGE_CODEC(directory_names)
MESSAGE_CODEC(directory_changed)
MESSAGE_CODEC(identity_changed)
MESSAGE_CODEC(relay_begin)
MESSAGE_CODEC(relay_submit)
MESSAGE_CODEC(relay_taken)
MESSAGE_CODEC(relay_return)
MESSAGE_CODEC(relay_returned)
MESSAGE_CODEC(scan_ask)
MESSAGE_CODEC(scan_answer)
MESSAGE_CODEC(pipe_ask)
MESSAGE_CODEC(pipe_answer)

// A sealed ticket is the packed ticket followed by a 32-octet HMAC-SHA-256 under the ticket key.
void ticket_seal(struct buf *b, const struct ticket *t, struct span key);
// R_FAIL when the MAC or the form is wrong; R_NONE: it has expired. Single use is the receiver's table.
enum result ticket_open(struct span sealed, struct span key, int64_t now_ms,
                        struct ticket *t_out) MUST_CHECK;

#endif
