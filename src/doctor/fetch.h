#ifndef DOCTOR_FETCH_H
#define DOCTOR_FETCH_H

// One document by HTTPS (libcurl), from the address that the DNS we ask has. Redirections to other https: URLs are followed.
// Trust: what comes is a stranger's; at most LIMIT_doctor_document octets of it. Threads: one. Blocks, LIMIT_doctor_ms for each step.

#include "doctor/names.h"
#include "base/buf.h"

struct fetch_options {
    struct names *names;
    const char *authorities;  // as in struct doctor_options
};

struct fetched {
    struct span body, type;  // in the arena
    struct span next;        // where it redirects to; of what `fetch` gives, none
};

// `post`: the body of a POST in XML; SPAN_NONE: a GET. R_NONE: the host has no address. R_FAIL: it could not be had, f->why says why
// in words for people; FAULT_PRIVACY: because of the certificate, FAULT_NONEXISTENT: the host answers by another status than 200.
enum result fetch(const struct fetch_options *o, struct arena *a, struct span url,
                  struct span post, struct fetched *out, struct fault *f) MUST_CHECK;

#endif
