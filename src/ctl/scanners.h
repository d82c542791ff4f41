#ifndef CTL_SCANNERS_H
#define CTL_SCANNERS_H

// The scanners, and the push hook, as the settings have them: for the role scan and for `config check`.

#include "ctl/config.h"
#include "scan/service.h"

enum { SCANNERS_PORTS = 5 };

bool scanners_scan(const struct config *c);   // is there one that sees mail?
bool scanners_learn(const struct config *c);  // is one told what users call junk?
bool scanners_any(const struct config *c);    // is the role scan needed?
// The port of an http or https URL; 0: none that can be.
uint16_t scanners_url_port(struct span url);
// FAULT_BAD: the settings do not go together.
enum result scanners_check(const struct config *c, struct fault *f) MUST_CHECK;
// Borrows the config's texts.
struct scan_services scanners_services(const struct config *c);
// The TCP ports of all of them, SCANNERS_PORTS - 1 at most.
size_t scanners_ports(const struct config *c, uint16_t *ports);

#endif
