#ifndef MAIL_PART_H
#define MAIL_PART_H

// The octets of a message that a section names (RFC 9051 section 6.4.5, RFC 3516), as they are or without their transfer
// encoding: for FETCH, CATENATE, URLFETCH and BURL.
// Owner: the caller's arena. Threads: the session's loop; all but clip suspend.

#include "mail/message.h"
#include "mime/transfer.h"
#include "wire/parse.h"

struct mail_part {
    struct mail *mail;
    const struct message_row *row;
    uint64_t at, size;  // in the message, or in `text`
    bool in_memory;     // chosen header fields
    struct span text;
    enum mime_encoding encoding;
};

// The whole message, which needs no structure.
static inline bool
mail_part_is_whole(const struct section *s)
{
    return s->kind == SECTION_ALL && s->part_count == 0;
}

// mail and row are set. `cache`: the message's, not looked at for the whole. R_NONE: it has no such part. What lies behind the
// message's end is not there.
enum result mail_part_find(struct mail_part *p, const struct section *s,
                           const struct message_cache *cache, struct arena *a,
                           struct fault *f) MUST_CHECK;
// As <at.count> of FETCH: what lies behind the end is empty.
void mail_part_clip(struct mail_part *p, uint64_t at, uint64_t count);

// Octets go to a sink piece by piece; a decoded part is decoded anew each time. FAULT_UNKNOWNCTE.
typedef enum result mail_part_sink_fn(void *arg, char *octets, size_t n, struct fault *f);
struct mail_part_sink {
    mail_part_sink_fn *fn;
    void *arg;
};
enum result mail_part_read(const struct mail_part *p, bool decoded, struct arena *a,
                           const struct mail_part_sink *sink, struct fault *f) MUST_CHECK;

// What there is to send, and of it what is wanted.
struct mail_part_window {
    uint64_t size;   // all of it
    uint32_t lines;  // line ends in it
    bool nul;        // is there one?
    uint64_t skip, left;
};
// Reads all of it, so that damage is met before a literal has begun.
enum result mail_part_measure(const struct mail_part *p, bool decoded, struct arena *a,
                              struct mail_part_window *out, struct fault *f) MUST_CHECK;
void mail_part_window(struct mail_part_window *w, uint64_t at, uint64_t count);

#endif
