#ifndef CTL_EXPORT_FACTS_H
#define CTL_EXPORT_FACTS_H

// What export and restore carry beside mail, as facts (ctl/parcel.h). Owner: the verb's task. All functions suspend.

#include "ctl/shipment.h"
#include "mail/tree.h"

// Of the account: scripts, entries of METADATA (filters among them), what `user set` has set.
enum result export_facts(struct shipment *out, struct mail_user *u,
                         struct fault *f) MUST_CHECK;
// Of a folder: entries of METADATA (its special use among them), ACL. `target`: what it is called where it goes.
enum result export_folder_facts(struct shipment *out, struct mail_user *u,
                                const struct tree_entry *e, struct span target,
                                struct fault *f) MUST_CHECK;

#endif
