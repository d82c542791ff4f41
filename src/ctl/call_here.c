#include "ctl/quotas.h"
#include "ctl/call.h"
#include "ctl/output.h"
#include "ctl/owner.h"
#include "ctl/programs.h"
#include "ctl/users.h"
#include "io/loop.h"
#include "io/task.h"
#include "mail/account.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// The verb's task runs in a child process with the store, which belongs to the data's owner; the command's side
// stays who it is, for the person's files, and talks to it by a socketpair, as it would to a server.
struct here {
    const struct config *config;
    int fd;
    bool announced;  // an octet goes before all else
    struct loop *loop;
    struct store *store;
    struct verb_host host;
    struct users *users;
};

static enum result
open_all(struct here *h, struct fault *f)
{
    struct store_options o;
    call_store_options(h->config, &o);
    if (owner_become(h->config, f) != R_OK)
        return R_FAIL;
    if (store_open(&o, &h->store, f) != R_OK)
        return R_FAIL;
    if (users_open(h->config, &h->users, f) != R_OK) {
        store_close(&h->store);
        return R_FAIL;
    }
    struct quota_settings quota;
    struct mail_options m = {
        .store = h->store,
        .homes = &h->loop,
        .home_count = 1,
        .folder_language = h->config->folder_language,
        .message_size_max = h->config->message_size_max,
    };
    h->host = (struct verb_host){
        .config = h->config,
        .mail = mail_new(&m),
        .arg = h->users,
        .users = users_do,
        .find_user = users_find,
    };
    mail_marks_set(h->host.mail, config_marks(h->config));
    mail_private_flags_set(h->host.mail, config_private_flags(h->config));
    programs_offer(h->config);
    limits_of(h->config, &quota);
    mail_quota_set(h->host.mail, &quota);
    return R_OK;
}

static void
on_end(void *arg)
{
    struct here *h = arg;
    loop_stop(h->loop);
}

static void
start(void *arg)
{
    struct here *h = arg;
    call_serve(h->fd, &h->host, on_end, h);
}

static void
send_failure(int fd, const struct fault *f)
{
    struct buf status, frame;
    buf_init(&status, 1024);
    buf_init(&frame, 2048);
    frame_put_status(&status, R_FAIL, f);
    frame_put(&frame, FRAME_STATUS, buf_span(&status));
    (void)!send(fd, frame.p, frame.n, MSG_NOSIGNAL);  // the command's side ends in any case
    close(fd);
    buf_done(&status);
    buf_done(&frame);
}

// Where nobody listens any more the first word of the verb fails.
static void
announce(int fd, char what)
{
    (void)!send(fd, &what, 1, MSG_NOSIGNAL);
}

static void
refuse(struct here *h, const struct fault *f)
{
    if (h->announced)
        announce(h->fd, CALL_REFUSED);
    send_failure(h->fd, f);
}

static void
run(struct here *h)
{
    struct fault f;
    h->loop = loop_new();
    if (open_all(h, &f) != R_OK) {
        refuse(h, &f);
        loop_free(&h->loop);
        return;
    }
    if (h->announced)
        announce(h->fd, CALL_READY);
    loop_post(h->loop, start, h);
    loop_run(h->loop);
    mail_free(&h->host.mail);
    store_close(&h->store);
    users_close(&h->users);
    loop_free(&h->loop);
}

void
call_serve_here(const struct config *c, int fd)
{
    struct here h = {.config = c, .fd = fd, .announced = true};
    run(&h);
}

void
call_refuse(int fd, const struct fault *f)
{
    struct here h = {.fd = fd, .announced = true};
    refuse(&h, f);
}

enum result
call_fork(call_child_fn *child, void *arg, struct call_child *out, struct fault *f)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socketpair");
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        child(ends[1], arg);
        _exit(0);
    }
    close(ends[1]);
    if (pid < 0) {
        fault_errno(f, FAULT_UNAVAILABLE, "fork");
        close(ends[0]);
        return R_FAIL;
    }
    *out = (struct call_child){pid, ends[0]};
    return R_OK;
}

static void
run_child(int fd, void *arg)
{
    struct here h = {.config = arg, .fd = fd};
    run(&h);
}

enum result
call_store_there(const struct config *c, struct fault *f)
{
    char path[4352];
    snprintf(path, sizeof path, "%s/journal", c->data);
    if (faccessat(AT_FDCWD, path, F_OK, 0) == 0 || errno != ENOENT)
        return R_OK;
    return fault_set(f, FAULT_NONEXISTENT,
                     "there is no store in %.100s; the server makes one, and `posthorn "
                     "user add`",
                     c->data);
}

// A directory that is misspelt, or not mounted, is no empty store to all others.
static enum result
may_begin(const struct config *c, const struct verb *v, struct fault *f)
{
    return v->begins ? R_OK : call_store_there(c, f);
}

int
call_run_here(const struct config *c, const struct verb *v, const char *const *args,
              size_t n)
{
    struct call_child child = {0, -1};
    struct fault f;
    if (may_begin(c, v, &f) != R_OK ||
        call_fork(run_child, (void *)(uintptr_t)c, &child, &f) != R_OK)
        return output_fault(&f, 1);
    int code = call_run(child.fd, v, args, n);
    (void)waitpid(child.pid, NULL, 0);  // the status came by the socket
    return code;
}

int
call_run_on_store(const struct config *c, const struct verb *v, const char *const *args,
                  size_t n)
{
    struct fault f;
    int fd;
    switch (call_connect(c->data, &fd, &f)) {
    case R_OK:
        return call_run(fd, v, args, n);
    case R_FAIL:
        return output_fault(&f, 1);
    case R_NONE:
        break;
    }
    if (v->where == VERB_SERVER) {
        fault_set(&f, FAULT_UNAVAILABLE, "no server runs on %.150s", c->data);
        return output_fault(&f, call_exit(v, &f));
    }
    return call_run_here(c, v, args, n);
}

enum result
call_ask_on_store(const struct config *c, const struct verb *v, const char *const *args,
                  size_t n, void *state, struct fault *f)
{
    struct call_child child = {0, -1};
    enum result r = call_connect(c->data, &child.fd, f);
    if (r == R_NONE)
        r = may_begin(c, v, f);
    if (r == R_OK && child.fd < 0)
        r = call_fork(run_child, (void *)(uintptr_t)c, &child, f);
    if (r != R_OK)
        return R_FAIL;
    r = call_ask(child.fd, v, args, n, state, f);
    if (child.pid > 0)
        (void)waitpid(child.pid, NULL, 0);  // the status came by the socket
    return r;
}
