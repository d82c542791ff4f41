#ifndef CTL_EXPIRY_H
#define CTL_EXPIRY_H

// The settings "expire" and "expire_keep", read: "Trash 30d" is a place and an age. Trust: the administrator's file.

#include "ctl/config.h"
#include "mail/expire.h"

// One row of the setting. The age has its unit: a bare number would be seconds. FAULT_BAD.
enum result expiry_row(struct span text, struct span *where_out, uint64_t *age_s_out,
                       struct fault *f) MUST_CHECK;
// All of them: spans borrowed from the configuration, arrays in the arena.
void expiry_policy(const struct config *c, struct arena *a, struct expire_policy *out);

#endif
