#ifndef CTL_EXPORT_FACTS_H
#define CTL_EXPORT_FACTS_H

// What an export of a whole account carries beside its mail: scripts, entries of METADATA (special uses and filters among them),
// ACL. Owner: the verb's task. Suspends.

#include "ctl/shipment.h"
#include "mail/tree.h"

enum result export_facts(struct shipment *out, struct mail_user *u,
                         const struct tree_entry *entries, size_t n,
                         struct fault *f) MUST_CHECK;

#endif
