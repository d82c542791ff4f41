#ifndef MAIL_ATTACHMENT_H
#define MAIL_ATTACHMENT_H

// The text of an attachment, for search: from the cache (attachment_cache.h), else read by the role `extract`. What cannot be
// read is remembered too, logged once (message, part, reason; never the content) and listed by `posthorn attachments`.
// Jobs: one of an account at a time, LIMIT_extract_jobs of a home, in turn. Owner: the mail. Threads: any loop, in a task.

#include "extract/extract.h"
#include "mail/account.h"
#include "mime/index.h"
#include "store/row.h"

// How documents are read; none of it where search_attachments is off.
struct attachment_reader {
    // Suspends, in the thread of that home. The document and the place for its text are memfds, the caller's.
    enum extract_verdict (*read)(void *arg, unsigned home, enum extract_kind kind,
                                 int document, int text, uint64_t *octets_out);
    // Is there a tool for such documents?
    bool (*can)(void *arg, unsigned home, enum extract_kind kind);
    void *arg;
};
// Once, before the loops run. The reader lives as long as the mail.
void attachments_open(struct mail *m, const struct attachment_reader *reader);

bool attachments_on(struct mail *m);
// Has this part a text beside what it is as a part?
bool attachment_has_text(const struct mime_index_part *part);

struct attachment_place {
    uint64_t account;
    const struct message_row *row;
    struct span index;  // the message's (mime/index.h)
    uint32_t number;    // of the part, in the order of the index; 0 is the root
    const struct mime_index_part *part;
};
// Suspends. Puts what could be read into `text` (of LIMIT_extract_text). R_FAIL: the message itself cannot be read.
enum result attachment_text(struct mail *m, const struct attachment_place *place,
                            struct buf *text, enum extract_verdict *verdict_out,
                            struct fault *f) MUST_CHECK;

// One that could not be read, or not all of it.
struct attachment_failed {
    uint64_t emailid;
    struct span section;  // "2.1"
    enum extract_verdict verdict;
};
// Suspends. Those of the account that are remembered, in the arena.
void attachments_failed(struct mail *m, uint64_t account, struct arena *a,
                        struct attachment_failed **out, size_t *n_out);

// Suspends, in the account's home. Forgets what is known of messages that are not alive.
void attachments_purge(struct mail *m, uint64_t account,
                       bool (*alive)(void *arg, uint64_t emailid), void *arg);

#endif
