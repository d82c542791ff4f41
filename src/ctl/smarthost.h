#ifndef CTL_SMARTHOST_H
#define CTL_SMARTHOST_H

// The smarthost as the settings have it: for the role relay, for `config check` and `doctor`.

#include "ctl/config.h"
#include "relay/smtp.h"

struct smarthost_settings {
    struct smarthost host;
    uint16_t port;
    struct buf
        text;  // what `host` borrows: its name and password; all else is the config's
};

// FAULT_BAD: the settings do not go together. Reads no file.
enum result smarthost_check(const struct config *c, struct fault *f) MUST_CHECK;
// Reads the password and the authorities, before the sandbox closes. For as long as the process lives.
enum result smarthost_open(const struct config *c, struct smarthost_settings *out,
                           struct fault *f) MUST_CHECK;

#endif
