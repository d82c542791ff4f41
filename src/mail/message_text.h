#ifndef MAIL_MESSAGE_TEXT_H
#define MAIL_MESSAGE_TEXT_H

// The text of a message on its way to who searches or indexes it: all header fields and text parts, in order, from one place,
// so that the two cannot disagree. Names of files and what attachments say (mail/attachment.h) come besides. No size of a header
// or part makes it partial; of one field the first LIMIT_mime_header octets count (mime/streams.h).

#include "mail/attachment.h"
#include "mail/message.h"
#include "mime/streams.h"

struct message_text {
    // Whole fields, in pieces, of the message's own header (MIME_ZONE_HEADER), of a part's (MIME) or of a nested message's (NESTED).
    void (*fields)(void *arg, struct span block, enum mime_zone zone);
    void (*part_begin)(void *arg, const struct mime_index_part *part);
    void (*part_feed)(void *arg, struct span raw);
    void (*part_end)(void *arg);
    // A file's decoded name, or what it says: UTF-8, whole.
    void (*file)(void *arg, struct span text);
    // An attachment whose text is not known now, but may be later: search_attachments is off, a tool is missing. May be NULL.
    void (*file_unknown)(void *arg);
    // After the header: does nothing of the body matter any more? May be NULL.
    bool (*enough)(void *arg);
    // Called before each read: R_FAIL ends the reading (the client has gone). May be NULL.
    enum result (*go_on)(void *arg, struct fault *f);
    void *arg;
    uint64_t account;  // whose texts of attachments are kept
    struct buf *room;  // for a message: who reads many keeps it (message_text_room)
};

void message_text_room(struct buf *room);

// Suspends. Others run at least once for each message, and for each 64 KB of a large one.
enum result message_text_read(struct mail *m, const struct message_row *row,
                              struct span index, const struct message_text *t,
                              struct fault *f) MUST_CHECK;

#endif
