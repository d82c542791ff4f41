#ifndef CTL_QUOTAS_H
#define CTL_QUOTAS_H

// The settings of quota as mail takes them.

#include "ctl/config.h"
#include "mail/quota.h"

// FAULT_BAD: what config_load says of them.
enum result limits_check(const struct config *c, struct fault *f) MUST_CHECK;
// Texts are borrowed from c, which was checked.
void limits_of(const struct config *c, struct quota_settings *out);

#endif
