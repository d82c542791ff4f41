#include "mail/fixture.h"

#include "base/limits.h"
#include "io/loop.h"
#include "io/task.h"
#include "mail/acl.h"

#include <ftw.h>
#include <pthread.h>

// Accounts are packed and woken in every test.
enum { HOMES = 2 };

struct run {
    struct fixture fixture;
    struct loop *loops[HOMES];
    void (*test)(struct fixture *x);
};

static void
run_task(void *arg)
{
    struct run *r = arg;
    r->test(&r->fixture);
    task_sleep(20);  // what was posted at the end (closing) still runs
    for (int i = 0; i < HOMES; i++)
        loop_stop(r->loops[i]);
}

static void
run_start(void *arg)
{
    task_start(run_task, arg);
}

static void *
loop_thread(void *arg)
{
    loop_run(arg);
    return NULL;
}

void
fixture_run(const char *path, void (*test)(struct fixture *x))
{
    struct run r = {.test = test};
    pthread_t threads[HOMES];
    struct fault f;
    for (int i = 0; i < HOMES; i++)
        must((r.loops[i] = loop_new()) != NULL);
    struct store_options so = {.path = path ? path : "",
                               .engine = path ? "embedded" : "mem",
                               .codec = "identity",
                               .retention_s = 1000};
    must(store_open(&so, &r.fixture.store, &f) == R_OK);
    struct mail_options mo = {.store = r.fixture.store,
                              .homes = r.loops,
                              .home_count = HOMES,
                              .folder_language = "en",
                              .message_size_max = 1 << 20,
                              .test_packing = TEST_PACKING_STATES};
    r.fixture.mail = mail_new(&mo);
    for (int i = 0; i < HOMES; i++)
        must(pthread_create(&threads[i], NULL, loop_thread, r.loops[i]) == 0);
    loop_post(r.loops[0], run_start, &r);
    for (int i = 0; i < HOMES; i++)
        pthread_join(threads[i], NULL);
    mail_free(&r.fixture.mail);
    store_close(&r.fixture.store);
    for (int i = 0; i < HOMES; i++)
        loop_free(&r.loops[i]);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *w)
{
    (void)st, (void)type, (void)w;
    return remove(path);
}

void
fixture_run_on_disk(void (*test)(struct fixture *x))
{
    char path[] = "/tmp/posthorn-mail-XXXXXX";
    must(mkdtemp(path) != NULL);
    fixture_run(path, test);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct mail_user *
fixture_user(struct fixture *x, uint64_t account, const char *name)
{
    struct mail_user *u;
    struct fault f;
    must(mail_user_open(x->mail, account, span_str(name), &u, &f) == R_OK);
    mail_user_identify(u, &(struct acl_identity){.admin = false});
    return u;
}

struct mailbox_ref
fixture_ref(struct mail_user *u, const char *name)
{
    struct mailbox_ref r;
    struct fault f;
    must(mail_access(u, span_str(name), 0, &r, &f) == R_OK);
    return r;
}

struct intake_result
fixture_append(struct fixture *x, const struct mailbox_ref *to, const char *text,
               uint16_t flags, const char *keyword)
{
    struct intake *in = intake_begin(x->mail);
    struct intake_result result;
    struct fault f;
    struct span name = span_str(keyword);
    struct intake_params p = {
        .flags = flags, .keywords = &name, .keyword_count = keyword != NULL};
    must(intake_write(in, span_str(text), &f) == R_OK);
    must(intake_finish(in, &f) == R_OK);
    must(intake_commit(in, to, &p, &result, &f) == R_OK);
    intake_free(&in);
    return result;
}
