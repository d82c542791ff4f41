// RFC 6785: scripts that IMAP commands run. What they ask is in the environment: imap.cause, imap.mailbox and the rest.

#include "sieve/ext.h"

const struct sieve_ext sieve_ext_imapsieve = {
    .capability = "imapsieve", .rfc = "RFC 6785", .stages = 1U << SIEVE_EVENT};
