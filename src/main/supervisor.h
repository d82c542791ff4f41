#ifndef MAIN_SUPERVISOR_H
#define MAIN_SUPERVISOR_H

// The supervisor binds, reads certificates, starts the roles, connects them to one another, and starts again what
// died. It reads no byte from the network. SIGTERM and SIGINT drain: everybody says goodbye, within seconds.
// Threads: the process's only one.

#include "ctl/config.h"

struct supervisor_options {
    const struct config *config;
    // Called once, when every role is ready. R_FAIL ends the server.
    enum result (*on_ready)(void *arg, struct fault *f);
    void *arg;
    bool demo;  // as root without a service user: take whoever can reach the data directory
};

// Runs until the end; returns the exit code.
int supervisor_run(const struct supervisor_options *o);

#endif
