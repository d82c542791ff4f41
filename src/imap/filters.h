#ifndef IMAP_FILTERS_H
#define IMAP_FILTERS_H

// Filters (RFC 5466): search programs with names, kept as the server's METADATA entries
// /private/filters/values/NAME and /shared/filters/values/NAME.

#include "imap/session.h"
#include "mail/metadata.h"

// Are these new values of the server's entries good, as far as they are filters? FAULT_CANNOT.
enum result imap_filters_check(const struct imap_command *c,
                               const struct metadata_entry *entries, size_t n,
                               struct fault *f) MUST_CHECK;

// Is this a whole search program? What it names need not be there.
bool imap_filter_good(struct span program);

#endif
