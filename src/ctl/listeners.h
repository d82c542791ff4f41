#ifndef CTL_LISTENERS_H
#define CTL_LISTENERS_H

// Where a server listens, by its settings: are the addresses some, could anybody log in there, could anything be sent from there?

#include "ctl/config.h"

// FAULT_BAD.
enum result listeners_check(const struct config *c, struct fault *f) MUST_CHECK;

#endif
