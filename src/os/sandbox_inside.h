#ifndef OS_SANDBOX_INSIDE_H
#define OS_SANDBOX_INSIDE_H

// The two kernel mechanisms behind sandbox_apply, for src/os/sandbox.c only.

#include "os/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WITH_SANITIZER = 1 };
#else
enum { WITH_SANITIZER = 0 };
#endif

// R_NONE when the kernel cannot do what this role asks.
enum result landlock_apply(const struct role *r, const struct sandbox_paths *paths,
                           struct fault *f) MUST_CHECK;
enum result filter_apply(const struct role *r, struct fault *f) MUST_CHECK;

#endif
