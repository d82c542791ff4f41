#ifndef CTL_ANNOUNCE_H
#define CTL_ANNOUNCE_H

// What the settings say that mail clients are told of this server (http/offers.h): its own listeners, and what `announce` names in
// their place ("submissions smtp.example.org:465", "pop3 none").

#include "ctl/config.h"
#include "http/offers.h"

// FAULT_BAD: a row of `announce` is wrong.
enum result announce_check(const struct config *c, struct fault *f) MUST_CHECK;
// Of settings that were checked. Spans lead into the config and the arena.
void announce_offers(const struct config *c, struct arena *a, struct offers *out);

#endif
