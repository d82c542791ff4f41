#ifndef CTL_DATABASES_H
#define CTL_DATABASES_H

// The settings of user databases, as directory/directory.h wants them. Threads: any.

#include "ctl/config.h"
#include "directory/directory.h"

enum result databases_check(const struct config *c, struct fault *f) MUST_CHECK;
bool databases_have(const struct config *c, enum user_source source);
// Borrows from c.
struct directory_settings databases_settings(const struct config *c);

#endif
