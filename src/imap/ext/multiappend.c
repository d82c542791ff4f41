#include "imap/ext.h"

// RFC 3502: all messages of one APPEND or none. The command is in base/append.c, its one commit in mail/intake_commit.c.

const struct imap_ext imap_ext_multiappend = {
    .name = "multiappend",
    .rfc = "RFC 3502",
    .capability = "MULTIAPPEND",
};
