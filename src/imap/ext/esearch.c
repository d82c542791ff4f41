#include "imap/search.h"

// RFC 4731, RFC 9051 section 6.4.4: RETURN (MIN MAX ALL COUNT).

static const struct imap_word words[] = {
    {SLOT_SEARCH_RETURN, "MIN", RETURN_MIN, {0}},
    {SLOT_SEARCH_RETURN, "MAX", RETURN_MAX, {0}},
    {SLOT_SEARCH_RETURN, "ALL", RETURN_ALL, {0}},
    {SLOT_SEARCH_RETURN, "COUNT", RETURN_COUNT, {0}},
    {0},
};

const struct imap_ext imap_ext_esearch = {
    .name = "esearch",
    .rfc = "RFC 4731, RFC 9051 section 6.4.4",
    .capability = "ESEARCH",
    .words = words,
};
