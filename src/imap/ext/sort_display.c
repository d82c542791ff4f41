// RFC 5957: SORT by what clients show of the first address, its name.
#include "imap/sort.h"

static const struct imap_word words[] = {
    {SLOT_SORT, "DISPLAYFROM", SORT_DISPLAYFROM, {0}},
    {SLOT_SORT, "DISPLAYTO", SORT_DISPLAYTO, {0}},
    {0},
};

const struct imap_ext imap_ext_sort_display = {
    .name = "sort_display",
    .rfc = "RFC 5957",
    .capability = "SORT=DISPLAY",
    .words = words,
};
