#ifndef CTL_CALL_H
#define CTL_CALL_H

// Both ends of the admin socket, for src/ctl and the mail role.

#include "ctl/frame.h"
#include "ctl/verb.h"
#include <sys/types.h>

// Serves one admin connection: one request. Takes fd; everything frees itself when it ends; on_end(arg) then (may
// be NULL). Threads: the loop it is called on. `host` must live as long.
void call_serve(int fd, const struct verb_host *host, void (*on_end)(void *arg), void *arg);

// The command's side: blocks until the verb's status came; returns the exit code.
int call_run(int fd, const struct verb *v, const char *const *args, size_t n);

// The exit status of a verb that failed.
int call_exit(const struct verb *v, const struct fault *f);

// FAULT_NONEXISTENT: no store was ever made there.
enum result call_store_there(const struct config *c, struct fault *f) MUST_CHECK;

// Runs the verb in this process, with a store of its own; returns the exit code.
int call_run_here(const struct config *c, const struct verb *v, const char *const *args,
                  size_t n);

// In the server when one runs, else here.
int call_run_on_store(const struct config *c, const struct verb *v, const char *const *args,
                      size_t n);

// The same for a feed with a state of its own; what goes wrong is told in f.
enum result call_ask_on_store(const struct config *c, const struct verb *v,
                              const char *const *args, size_t n, void *state,
                              struct fault *f) MUST_CHECK;

// A child process with the other end of a socket; it ends when child returns. SIGINT ends only the command's side, and
// the child at its next word, so that it can clean up.
struct call_child {
    pid_t pid;
    int fd;
};
typedef void call_child_fn(int fd, void *arg);
enum result call_fork(call_child_fn *child, void *arg, struct call_child *out,
                      struct fault *f) MUST_CHECK;

// For a feed whose input is another verb's output: the row's sink finds `state`, what goes wrong is told in f.
enum result call_ask(int fd, const struct verb *v, const char *const *args, size_t n,
                     void *state, struct fault *f) MUST_CHECK;
// The other end of it, in a child process of its own: one octet tells that the store of c is open (CALL_READY) or
// cannot be (CALL_REFUSED, and a status follows); then one request is served.
enum { CALL_READY = 'R', CALL_REFUSED = 'F' };
void call_serve_here(const struct config *c, int fd);
void call_refuse(int fd, const struct fault *f);

// Connects to data/admin.sock: R_NONE when no server listens there.
enum result call_connect(const char *data, int *fd_out, struct fault *f) MUST_CHECK;
// The store's options as the settings say.
struct store_options;
void call_store_options(const struct config *c, struct store_options *o);

const struct verb *verb_find(struct span words);
enum { VERB_WORDS_SIZE = 128 };
// "user", "add" -> "user add"; false: it was cut.
bool verb_join(const char *const *words, size_t n, char out[VERB_WORDS_SIZE]);
// May its run function get so many arguments?
bool verb_takes_count(const struct verb *v, size_t n);
// Says the usage; returns the exit code.
int verb_wrong_arguments(const struct verb *v);

#endif
