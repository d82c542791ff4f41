#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

// FETCH and its items (RFC 9051 section 6.4.5). Messages are taken in batches; items that need only the row and the
// cache are written many messages at a time, those that read the body message by message.
// A new item is a word of SLOT_FETCH with one struct imap_fetch_item.
// Owner: the command's arena. Threads: the session's loop.

#include "imap/response.h"
#include "mail/message.h"

struct imap_fetch;
struct imap_partial;
struct imap_fetch_item;
struct imap_fetch_run;

// One item as the client asked for it.
struct imap_fetch_want {
    const struct imap_fetch_item *item;
    unsigned needs;  // the item's; parse may change them
    uint32_t value;  // of the word
    struct section section;
    bool has_section, peek;
    bool has_partial;
    uint64_t partial_at, partial_count;
};

enum imap_fetch_need {
    FETCH_CACHE = 1,    // the message's cached structure
    FETCH_BODY = 2,     // reads the body: puts its own octets, may suspend
    FETCH_SEEN = 4,     // sets \Seen unless peeked
    FETCH_MODSEQ = 8,   // enables CONDSTORE
    FETCH_PARTS = 16,   // where the parts are, with FETCH_BODY
    FETCH_LABELS = 32,  // the labels of the batch (imap/labels.h)
};

struct imap_fetch_item {
    unsigned needs;  // enum imap_fetch_need
    // Reads what follows the name ("[1.2]<0.10>"); NULL when nothing does.
    void (*parse)(struct parse *p, struct imap_fetch_want *w);
    // Puts the item's name and value into run->line, or (FETCH_BODY) through the session's output. R_FAIL leaves the
    // message out, and the command ends in NO.
    enum result (*put)(struct imap_fetch_run *run, const struct imap_fetch_want *w,
                       struct fault *f);
};

struct imap_fetch_run {
    struct imap_command *c;
    struct imap_session *session;
    struct mail *mail;
    const struct imap_fetch *fetch;
    unsigned needs;  // of all wants
    bool sets_seen, has_flags, has_uid;
    struct buf *line;
    const struct view_message *message;
    struct message_cache cache;  // valid with FETCH_CACHE or FETCH_PARTS
    struct arena *scratch;       // of the message
    uint64_t preview_ms;         // spent on previews (RFC 8970 section 4)
    bool streamed;               // octets of this message's line have left already
    bool in_literal;             // the last of them are part of a literal that is not whole
    struct buf *flag_texts;      // keyword set -> rendered names
    size_t flag_text_count;
    struct imap_labels *labels;  // with FETCH_LABELS
    struct fault fault;          // the first message that failed
    bool failed;
};

// What is asked for; c->own while FETCH runs, where its modifiers (SLOT_FETCH_MODIFIER) change it.
struct imap_fetch {
    const struct seqset *set;  // NULL: all messages
    bool by_uid;
    struct imap_fetch_want *wants;
    size_t count, room;
    struct imap_partial *partial;  // RFC 9394; NULL: none
    bool has_since;                // CHANGEDSINCE
    uint64_t since;
};
// "(UID FLAGS)" at c->parse.
void imap_fetch_items_parse(struct imap_command *c, struct imap_fetch *fetch);
// Adds an item that is answered from the row, as if the client had named it; no second time.
void imap_fetch_want_add(struct imap_command *c, struct imap_fetch *fetch,
                         const char *name);
// Suspends. FETCH (UID FETCH) of these messages with these items, answers included.
enum result imap_fetch(struct imap_command *c, const struct imap_fetch *fetch,
                       struct fault *f) MUST_CHECK;
// " FLAGS (...)" of run->message into run->line.
enum result imap_fetch_put_flags(struct imap_fetch_run *run, struct fault *f) MUST_CHECK;

// Streams octets [at, at + size) of the message as a literal; NUL octets leave as 0x80.
enum result imap_fetch_stream(struct imap_fetch_run *run, uint64_t at, uint64_t size,
                              struct fault *f) MUST_CHECK;

#endif
