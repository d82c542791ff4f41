#ifndef MAIN_SUPERVISOR_H
#define MAIN_SUPERVISOR_H

// The supervisor binds, reads certificates, starts the roles, connects them to one another, and starts again what
// died. It reads no byte from the network. SIGTERM and SIGINT drain: everybody says goodbye, within seconds.
// SIGHUP, and the verb reload, read the configuration and the certificates again; sessions go on. A role that hangs is
// ended and started again. The service manager is told (os/notify.h) and may give sockets (os/activation.h).
// Threads: the process's only one.

#include "ctl/config.h"

struct supervisor_options {
    struct config *config;  // gets the sockets of the service manager, too
    // Called once, when every role is ready. R_FAIL ends the server.
    enum result (*on_ready)(void *arg, struct fault *f);
    void *arg;
    // The configuration anew, for a reload; the caller's.
    enum result (*load)(void *load_arg, struct config **c_out, struct fault *f);
    void *load_arg;
    bool demo;  // as root without a service user: take whoever can reach the data directory
};

// Runs until the end; returns the exit code.
int supervisor_run(const struct supervisor_options *o);

#endif
