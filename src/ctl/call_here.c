#include "ctl/call.h"
#include "ctl/users.h"
#include "io/loop.h"
#include "io/task.h"
#include "mail/account.h"
#include "store/store.h"
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

// The verb's task runs on a thread with the store; the command's side talks to it by a socketpair, as it would
// to a server.
struct here {
    const struct config *config;
    int fd;
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
    if (store_open(&o, &h->store, f) != R_OK)
        return R_FAIL;
    if (users_open(h->config, &h->users, f) != R_OK) {
        store_close(&h->store);
        return R_FAIL;
    }
    struct mail_options m = {
        .store = h->store,
        .homes = &h->loop,
        .home_count = 1,
        .folder_language = span_str(h->config->folder_language),
        .message_size_max = h->config->message_size_max,
    };
    h->host = (struct verb_host){
        .config = h->config,
        .mail = mail_new(&m),
        .arg = h->users,
        .users = users_do,
        .find_user = users_find,
    };
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
    pack_u8(&status, 1);
    buf_put_str(&status, f->why);
    frame_put(&frame, FRAME_STATUS, buf_span(&status));
    (void)!send(fd, frame.p, frame.n, MSG_NOSIGNAL);  // the command's side ends in any case
    close(fd);
    buf_done(&status);
    buf_done(&frame);
}

static void *
run(void *arg)
{
    struct here *h = arg;
    struct fault f;
    h->loop = loop_new();
    if (open_all(h, &f) != R_OK) {
        send_failure(h->fd, &f);
        loop_free(&h->loop);
        return NULL;
    }
    loop_post(h->loop, start, h);
    loop_run(h->loop);
    mail_free(&h->host.mail);
    store_close(&h->store);
    users_close(&h->users);
    loop_free(&h->loop);
    return NULL;
}

int
call_run_here(const struct config *c, const struct verb *v, const char *const *args,
              size_t n)
{
    int ends[2];
    pthread_t thread;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        perror("posthorn: socketpair");
        return 1;
    }
    struct here h = {.config = c, .fd = ends[1]};
    if (pthread_create(&thread, NULL, run, &h) != 0) {
        perror("posthorn: thread");
        return 1;
    }
    int code = call_run(ends[0], v, args, n);
    pthread_join(thread, NULL);
    return code;
}
