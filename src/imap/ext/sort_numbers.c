// SORT by mod-sequence and by UID, as Cyrus has it.
#include "imap/sort.h"

static const struct imap_word words[] = {
    {SLOT_SORT, "MODSEQ", SORT_MODSEQ, {0}},
    {SLOT_SORT, "UID", SORT_UID, {0}},
    {0},
};

const struct imap_ext imap_ext_sort_numbers = {
    .name = "sort_numbers",
    .rfc = "RFC 5256 section 3, as Cyrus extends it",
    .capability = "SORT=MODSEQ SORT=UID",
    .words = words,
};
