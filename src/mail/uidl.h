#ifndef MAIL_UIDL_H
#define MAIL_UIDL_H

// Unique ids of POP3 (RFC 1939 section 7) that messages brought along from the server that they were imported from
// (intake_params.uidl).

#include "mail/view.h"

struct maildrop_uidls;

// Suspends. Those of the view's mailbox, in the arena; NULL: it has none.
struct maildrop_uidls *maildrop_uidls_read(struct view *v, struct arena *a);
// SPAN_NONE: it has none of its own. `u` may be NULL.
struct span maildrop_uidls_find(const struct maildrop_uidls *u, uint32_t uid);

#endif
