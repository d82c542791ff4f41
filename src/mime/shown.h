#ifndef MIME_SHOWN_H
#define MIME_SHOWN_H

// Whether HTML may show a text, told from its source without reading it as HTML: of all ways in which tags could part the letters
// of the text, and entities be them. It says no only where no reader shows the text; where it says that it may be, a reader
// (mime/html.h) decides. Decision 0044. Private to this folder.
// Trust: none. Linear. Threads: one at a time. Owner: mime_shown_init .. mime_shown_done.

#include "mime/charset.h"

// Sets of places in the text, a bit each: as far as it may be shown up to here.
struct mime_shown {
    uint64_t rows[256];      // where in the text each octet is; of ASCII letters both cases
    uint64_t last;           // where the text ends
    char first, first_mask;  // what it begins with; the mask leaves out the case
    uint64_t here, before_tag;  // before_tag: where any tag so far began
    uint64_t met;               // not 0: the text may have ended
    size_t slice_left;  // octets to the end of the reader's slice, where it may end a tag
    enum collation collation;
    struct buf folded;
    struct mime_reference {  // an entity or character reference
        uint64_t before;     // where it began
        enum { REF_NONE, REF_BEGUN, REF_NAME, REF_NUMBER, REF_DECIMAL, REF_HEX } kind;
        uint32_t number;
        char name[16];
        uint8_t n;
    } reference;
};

// The text is folded by the collation. What is asked for is its longest piece without control characters, of at most 63 octets.
void mime_shown_init(struct mime_shown *m, struct span folded, enum collation collation);
void mime_shown_done(struct mime_shown *m);
void mime_shown_begin(struct mime_shown *m);  // new HTML
// Whole characters of valid UTF-8. True: it may be shown.
bool mime_shown_feed(struct mime_shown *m, struct span utf8);

#endif
