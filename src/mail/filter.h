#ifndef MAIL_FILTER_H
#define MAIL_FILTER_H

// A filter is what Sieve scripts make of a message that is delivered: the administrator's before, the user's own, the
// administrator's behind (decision 0021). What they say is done as one delivery: all folders of the account get the message in
// one commit, or none does. Whatever goes wrong leaves the message in INBOX.
// Owner: the caller; rules are counted. Trust: scripts and messages may be any bytes. Threads: rules never change once made;
// each thread goes by those that it was given last.

#include "mail/intake.h"

struct filter_script {
    struct span name, text;
};
struct filter_scripts {
    const struct filter_script *p;
    size_t n;
};
struct filter_settings {
    struct filter_scripts before, after;  // in this order
    struct filter_scripts global;         // of `include :global`
    struct filter_scripts imap;  // of events: named "COPY Junk: before" (filter_event.c)
    struct filter_scripts environment;  // items vnd.dovecot.config.NAME: names and values
    bool expunge;                  // messages that scripts of events do not keep go at once
    struct span hostname, domain;  // of the environment (RFC 5183); domain may be empty
    struct span delimiters;        // that begin a detail (RFC 5233)
    struct span spam_header,
        virus_header;    // fields that scanners write (RFC 5235); empty: none
    uint64_t spam_most;  // thousandths of a score that is surely spam
    unsigned redirects;  // that one message may take
};
struct filter_rules;
struct filter_rules *filter_rules_new(const struct filter_settings *s);
struct filter_rules *filter_rules_ref(struct filter_rules *r);
void filter_rules_unref(struct filter_rules **r);  // takes NULL
// Says of each of the administrator's scripts that does not compile what is wrong with it, in the log.
void filter_rules_check(const struct filter_rules *r);

// A letter on its way out; its addresses are as SMTP writes them (base/quoted.h). Of the parts of DSN and DELIVERBY as RFC 6009 has them, p is NULL where nothing was said.
struct filter_letter {
    struct span from;  // of the envelope; empty: <>
    const struct span *to;
    size_t n;
    struct span notify, orcpt;  // of all of them
    struct span ret, envid, by_mode;
    bool by_trace;
    bool success_is_told;       // or not to be told: nobody behind is asked to
    bool is_report;             // to the sender of a mail, who may be a user here
    bool utf8;                  // with SMTPUTF8 (RFC 6531), as it came
    int64_t by_s;               // 0: no deadline
    struct span head, text;     // the message, from its header on
    const struct intake *body;  // behind these: what is behind its header; NULL: nothing
    struct span why, owner;
};

// What a home gives to its deliveries. Suspends.
struct filter_home {
    // Is there a way out? And the way: durable when it is R_OK (relay/relay.h).
    bool (*can_send)(void *arg);
    enum result (*send)(void *arg, const struct filter_letter *l, struct fault *f);
    enum result (*identify)(void *arg, struct mail_user *u, struct fault *f);
    // May the user write as this address? R_NONE: not. As submission asks it.
    enum result (*may_send)(void *arg, struct span user, struct span address,
                            struct fault *f);
    void *arg;
};
// This thread's deliveries go by these from here on. Takes a reference of its own; NULL: no more.
void filter_rules_use(struct filter_rules *r, const struct filter_home *home);

// What scanners said of a message: for spamtest and virustest (RFC 5235), in place of fields that others wrote.
struct filter_scan {
    bool scored;
    int64_t score;  // thousandths of a point
    uint8_t virus;  // 1: none, 5: surely one (RFC 5235 section 2.2); 0: not looked for
    bool junk;      // where no script says otherwise it goes into \Junk
};

// A message for one user.
struct delivered_key;
struct filter_arrival {
    struct account *account;
    struct intake *intake;  // finished
    struct span from, to;   // of the envelope
    struct span detail;     // of the address, where it may be a folder; else empty
    struct span remote;     // the address of who handed it over, or empty
    // more of the envelope (RFC 6009); p is NULL where nothing was said
    struct filter_envelope {
        struct span auth, notify, orcpt, ret, envid;
    } envelope;
    const struct filter_scan *scan;         // what scanners said of it; NULL: none is set
    const struct delivered_key *delivered;  // mail/delivered.h; NULL: nothing to note
    bool alone;  // the recipient leads to nobody else: the answer is this one's
    bool utf8;   // the answer may be UTF-8
    // mailboxes that have the message already, and those that get it now
    bool (*had)(void *arg, uint64_t account, uint64_t mailbox);
    void (*has)(void *arg, uint64_t account, uint64_t mailbox);
    void *arg;
};
struct filter_result {
    bool refused;       // nothing was filed
    struct buf reason;  // why: lines with CRLF between; filter_result_done
    size_t filed;       // mailboxes
    // What was not refused, and did not go on in its sender's name, has reached its recipient, wherever it is (RFC 3461 section 5.2.3).
    bool rejected;     // the sender has a report of that, or wants none; nothing was filed
    unsigned onward;   // addresses elsewhere that it went on to
    bool asked_on;     // the only one: who is next was asked for the sender's reports
    bool quiet;        // nobody is to be told of it (mail/arrive.h)
    uint64_t mailbox;  // of `first`, where it is the user's own
    struct intake_result first;
};

// In the account's home: is there any script for its mail? Suspends.
bool filter_wanted(struct account *a);
// The same. R_FAIL: nothing was filed, and it may come again.
enum result filter_deliver(const struct filter_arrival *m, struct filter_result *out,
                           struct fault *f) MUST_CHECK;
void filter_result_done(struct filter_result *r);

#endif
