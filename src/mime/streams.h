#ifndef MIME_STREAMS_H
#define MIME_STREAMS_H

// Streams: the text of a message as search sees it. Headers and parts go in as they are in the message, in any cuts; out come
// streams of folded text (decoded, in UTF-8, i;unicode-casemap by RFC 5051). A match never crosses from one stream to another.
// Whoever searches and whoever indexes takes them from here, so that the two cannot disagree.
// Trust: none. Memory does not grow with the text. Threads: one at a time.
// Owner: mime_streams_new .. mime_streams_free.

#include "base/span.h"
#include "mime/charset.h"
#include "mime/index.h"
#include "mime/summary.h"

// Where in the message a stream is.
enum mime_zone {
    MIME_ZONE_SUBJECT = 1,  // these five: as the summary has them
    MIME_ZONE_FROM = 2,
    MIME_ZONE_TO = 4,
    MIME_ZONE_CC = 8,
    MIME_ZONE_BCC = 16,
    MIME_ZONE_HEADER = 32,  // "Name: value" of each field of the message's own header
    MIME_ZONE_NESTED = 64,  // the same in the headers of nested messages
    MIME_ZONE_BODY = 128,   // text parts
    MIME_ZONE_FILE = 256,   // what attachments say, and their names
    MIME_ZONE_MIME = 512,   // MIME headers of parts
    MIME_ZONES = 1023,
    // what the search keys BODY and TEXT mean
    MIME_ZONES_BODY = MIME_ZONE_NESTED | MIME_ZONE_BODY | MIME_ZONE_FILE,
    MIME_ZONES_TEXT = MIME_ZONE_HEADER | MIME_ZONE_MIME | MIME_ZONES_BODY,
};

// Two streams may be open at a time (the source and the text of HTML): each says which lane it is in.
enum { MIME_LANES = 2 };
struct mime_text_sink {
    void (*begin)(void *arg, unsigned lane, enum mime_zone zone);
    void (*feed)(void *arg, unsigned lane, struct span folded);  // whole characters
    void (*end)(void *arg, unsigned lane);
    void *arg;
};

struct mime_streams;
struct mime_streams *mime_streams_new(const struct mime_text_sink *sink);
// Folds by another collation than i;unicode-casemap.
void mime_streams_compare(struct mime_streams *s, enum collation collation);
// Who asks may not need all; both get the sink's `arg`. enough: does nothing of the part matter any more? shows: of this source of
// HTML, in UTF-8, and of what was asked about before it in this part, may the text matter that it shows? That has its own lane,
// and is told from its beginning once `shows` said so, or where the source is long. apart: takes the next text of a stream as it is,
// not folded, of which nothing but ASCII becomes ASCII (mime_fold_is_apart); false: it is to be fed. May be NULL.
struct mime_text_asker {
    bool (*enough)(void *arg);
    bool (*shows)(void *arg, struct span source);
    bool (*apart)(void *arg, unsigned lane, struct span text);
};
void mime_streams_ask(struct mime_streams *s, const struct mime_text_asker *asker);
// Between parts: who reads many messages keeps the buffers, some 100 KB. False drops them. Before the first part, or between two.
void mime_streams_keep(struct mime_streams *s, bool keeps);
void mime_streams_free(struct mime_streams **s);  // takes NULL

// Whether the body of this part is text: text/* and the like. (Headers of nested messages are parts with `root` set: give
// their header range to mime_streams_fields.)
bool mime_text_searchable(const struct mime_index_part *part);

// A text part: begin, feed its raw octets, end. HTML gives two streams: its source, and the text it shows.
void mime_streams_part_begin(struct mime_streams *s, const struct mime_index_part *part);
void mime_streams_part_feed(struct mime_streams *s, struct span raw);
void mime_streams_part_end(struct mime_streams *s);

// A header block, whole fields: each is a stream "Name: decoded value".
void mime_streams_fields(struct mime_streams *s, enum mime_zone zone, struct span block);
// One field, its name and its raw value; without a name (SPAN_NONE) the value alone.
void mime_streams_field(struct mime_streams *s, enum mime_zone zone, struct span name,
                        struct span raw);
// The five fields of the summary. Returns the zones of those that the summary has only the beginning of.
unsigned mime_streams_summary(struct mime_streams *s, const struct mime_summary *summary);

// Text in UTF-8 from elsewhere (extracted from an attachment), in any cuts.
void mime_streams_text_begin(struct mime_streams *s, enum mime_zone zone);
void mime_streams_text_feed(struct mime_streams *s, struct span utf8);
void mime_streams_text_end(struct mime_streams *s);

#endif
