#ifndef IMAP_PART_H
#define IMAP_PART_H

// The octets of a message that a section names (RFC 9051 section 6.4.5, RFC 3516), as they are or without their transfer
// encoding: for FETCH, CATENATE and URLFETCH.
// Owner: the caller's arena. Threads: the session's loop; all but clip suspend.

#include "imap/session.h"
#include "mail/message.h"
#include "mime/transfer.h"
#include "wire/parse.h"

struct imap_part {
    struct mail *mail;
    const struct message_row *row;
    uint64_t at, size;  // in the message, or in `text`
    bool in_memory;     // chosen header fields
    struct span text;
    enum mime_encoding encoding;
};

// The whole message, which needs no structure.
static inline bool
imap_part_is_whole(const struct section *s)
{
    return s->kind == SECTION_ALL && s->part_count == 0;
}

// mail and row are set. `cache`: the message's, not looked at for the whole. R_NONE: it has no such part. What lies behind the
// message's end is not there.
enum result imap_part_find(struct imap_part *p, const struct section *s,
                           const struct message_cache *cache, struct arena *a,
                           struct fault *f) MUST_CHECK;
// As <at.count> of FETCH: what lies behind the end is empty.
void imap_part_clip(struct imap_part *p, uint64_t at, uint64_t count);

// Octets go to a sink piece by piece; a decoded part is decoded anew each time. FAULT_UNKNOWNCTE.
typedef enum result imap_part_sink_fn(void *arg, char *octets, size_t n, struct fault *f);
struct imap_part_sink {
    imap_part_sink_fn *fn;
    void *arg;
};
enum result imap_part_read(const struct imap_part *p, bool decoded, struct arena *a,
                           const struct imap_part_sink *sink, struct fault *f) MUST_CHECK;

// What there is to send, and of it what is wanted.
struct imap_part_window {
    uint64_t size;   // all of it
    uint32_t lines;  // line ends in it
    bool nul;        // is there one?
    uint64_t skip, left;
};
// Reads all of it, so that damage is met before a literal has begun.
enum result imap_part_measure(const struct imap_part *p, bool decoded, struct arena *a,
                              struct imap_part_window *out, struct fault *f) MUST_CHECK;
void imap_part_window(struct imap_part_window *w, uint64_t at, uint64_t count);
// Sends what the window shows; `plain`: NUL octets leave as 0x80 (RFC 9051: CHAR8).
struct imap_part_send {
    bool decoded, plain;
};
enum result imap_part_send(struct imap_session *s, const struct imap_part *p,
                           const struct imap_part_send *how, struct arena *a,
                           struct imap_part_window *w, struct fault *f) MUST_CHECK;
void imap_hide_nuls(char *p, size_t n);

#endif
