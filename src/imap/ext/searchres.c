#include "imap/search.h"

// RFC 5182, RFC 9051 section 6.4.4.1: RETURN (SAVE); "$" is resolved wherever a set is read (imap_set_resolve).

static const struct imap_word words[] = {
    {SLOT_SEARCH_RETURN, "SAVE", RETURN_SAVE, {0}},
    {0},
};

const struct imap_ext imap_ext_searchres = {
    .name = "searchres",
    .rfc = "RFC 5182, RFC 9051 section 6.4.4.1",
    .capability = "SEARCHRES",
    .words = words,
};
