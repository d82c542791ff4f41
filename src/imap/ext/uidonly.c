// RFC 9586: UIDONLY. The dispatcher refuses verbs that name messages by number, responses name them by UID.
#include "imap/session.h"

const struct imap_ext imap_ext_uidonly = {
    .name = "uidonly",
    .rfc = "RFC 9586",
    .capability = "UIDONLY",
    .enable = "UIDONLY",
    .enable_bits = ENABLE_UIDONLY,
};
