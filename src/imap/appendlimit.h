#ifndef IMAP_APPENDLIMIT_H
#define IMAP_APPENDLIMIT_H

#include <stdint.h>

// The largest message that APPEND takes, in octets (RFC 7889). From any thread.
void imap_appendlimit_set(uint64_t octets);

#endif
