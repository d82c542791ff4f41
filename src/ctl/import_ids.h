#ifndef CTL_IMPORT_IDS_H
#define CTL_IMPORT_IDS_H

// Which message of an import is where, by the id that the source gives it in every mailbox that holds it (X-GM-MSGID,
// EMAILID), so that each is fetched once. At most LIMIT_pull_ids; those beyond are fetched again.
// Owner: one task.

#include "base/span.h"
#include "store/row.h"

struct import_ids;
struct import_ids_place {
    uint32_t box;  // the caller's number for a mailbox
    uint32_t uid;
    uint64_t size;
    int64_t date;  // where ids are made of octets (Cyrus), copies have dates of their own
};

struct import_ids *import_ids_new(void);
void import_ids_free(struct import_ids **i);  // takes NULL
void import_ids_add(struct import_ids *i, struct span id, struct import_ids_place where);
enum result import_ids_find(const struct import_ids *i, struct span id,
                            struct import_ids_place *out);  // R_NONE
// A message that is here already by its EMAILID; borrowed from the row.
struct span import_ids_of_row(const struct message_row *row);

#endif
