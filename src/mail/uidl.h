#ifndef MAIL_UIDL_H
#define MAIL_UIDL_H

// Unique ids of POP3 (RFC 1939 section 7) that a message brings along from the server that it is imported from.

#include "store/store.h"
#include "store/record.h"

enum { UIDL_KEY = 16 };

// Is it one: 1 to 70 octets of 0x21 to 0x7E?
bool uidl_good(struct span uidl);
// The record for the commit that adds the message (intake_batch.notes). Borrows all.
struct record_meta uidl_note(uint64_t mailbox, uint32_t uid, struct span uidl,
                             char room[UIDL_KEY]);

#endif
