#ifndef CTL_SHIPMENT_H
#define CTL_SHIPMENT_H

// A shipment is mail on its way out of a store as parcels: for export, and for restore out of a backup.
// Owner: the verb's task. All functions suspend.

#include "ctl/parcel.h"
#include "ctl/verb.h"
#include "mail/view.h"

struct shipment {
    struct verb_call *call;
    const uint8_t *store;  // of store_uuid: each message tells its origin; NULL: none does
    uint64_t messages, octets, left_out;
    struct maildrop_uidls *uidls;  // of the mailbox at hand
};

void shipment_put(struct shipment *s, enum parcel_kind kind, struct span payload);
void shipment_mailbox(struct shipment *s, const struct parcel_mailbox *head);
// What is restored is new to POP3 clients: only an export tells unique ids. The messages of the view with these UIDs; NULL: all. One that cannot be read is left out: R_FAIL is for the rest.
enum result shipment_messages(struct shipment *s, struct view *v, struct span mailbox,
                              const struct seqset *uids, struct fault *f) MUST_CHECK;

#endif
