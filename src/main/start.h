#ifndef MAIN_START_H
#define MAIN_START_H

// How a role's process comes to life: the supervisor packs what it needs into a memfd, the new process unpacks it,
// becomes the service user and calls the role's main.

#include "main/role.h"
#include "os/spawn.h"

// Starts one process, with the memfd of shared.h. *channel_out is the supervisor's end.
enum result start_role(const struct role_start *start, int shared, struct spawned *out,
                       int *channel_out, struct fault *f) MUST_CHECK;
// The settings as a process of that role gets them: the secrets in them are for the role that needs them.
void start_put_settings(struct buf *b, const struct config *c, const struct role *r);
// In the new process: what main returns.
int start_as(const struct role *r);

#endif
