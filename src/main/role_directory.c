#include "main/role_server.h"
#include "ctl/databases.h"
#include "directory/passwd_table.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/task.h"
#include "os/sandbox.h"
#include <libgen.h>
#include <limits.h>
#include <unistd.h>
#include <utlist.h>

// The role directory: it asks the outer user databases for auth, which cannot connect. What it is asked for is a name; where
// and how, the settings say. Each database that blocks is asked by a few threads of its own, with a connection each, so that one
// which hangs (in the resolver, which has no deadline) holds up no other. While one is lost, a single question at a time tries
// it, and all others are answered at once.

enum {
    WORKERS = 4,
    FILE_LOOK_MS = 500,
    PORTS_MAX = 16,
    PLACES_MAX = 4,
    NAMES_PIECE = 12000
};

// What is known of a database's health.
struct health {
    bool lost, trying;
    uint64_t lost_ms;  // when it failed last
};

// A database that blocks, and the questions to it.
struct base {
    struct directory *idle[WORKERS];
    unsigned idle_count;
    struct job *waiting;
    unsigned waiting_count;
    struct health health;
    struct directory *
        lister;  // lists have a connection of their own: they take long, and say nothing of logins
    bool listing;
    struct job *lists;
};

struct directory_role {
    struct role_server server;
    struct directory_settings settings;
    struct pool *pool;
    struct base bases[USER_SOURCES];
    struct passwd_table *file;
    struct timer look;
    bool file_failed;
};

// One question, from its message to its answer.
struct job {
    struct job *prev, *next;
    struct directory_role *role;
    struct directory *directory;
    uint64_t request, generation, came_ms;
    enum user_source source;
    bool verify, list;
    struct name name;
    struct buf names;  // of `list`
    struct buf password;
    struct directory_user user;
    enum result result;
    struct fault fault;
};

static struct base *
base_of(const struct job *j)
{
    return &j->role->bases[j->source];
}

// ---- answers ----

static void
job_free(struct job *j)
{
    buf_wipe(&j->password);
    buf_done(&j->names);
    directory_user_done(&j->user);
    free(j);
}

static enum directory_verdict
verdict_of(const struct job *j)
{
    if (j->result == R_FAIL)
        return DIRECTORY_LATER;
    if (j->result == R_OK)
        return DIRECTORY_FOUND;
    return j->verify ? DIRECTORY_WRONG : DIRECTORY_NONE;
}

// "{SCHEME}" where the database tells none.
static void
put_scheme(const struct job *j, struct buf *out)
{
    struct span hash = buf_span(&j->user.hash);
    bool bare = hash.n > 0 && hash.p[0] != '{' && j->source != USER_PASSWD_FILE;
    if (bare)
        buf_printf(out, "{%s}", j->role->server.start->config->userdb_scheme);
    buf_put(out, hash);
}

static void
send_names(struct job *j, enum directory_names_kind kind, struct span names)
{
    struct buf b;
    struct directory_names m = {j->request, (uint8_t)kind, names};
    buf_init(&b, LIMIT_channel_message);
    directory_names_put(&b, &m);
    must(!b.over);
    role_server_answer(&j->role->server, j->generation, MESSAGE_DIRECTORY_NAMES,
                       buf_span(&b));
    buf_done(&b);
}

// As many whole names as go into a message.
static struct span
some_names(struct span all)
{
    struct unpack u = unpack_of(all);
    size_t n = 0;
    while (u.rest.n > 0) {
        (void)unpack_span(&u);
        if (u.bad || all.n - u.rest.n > NAMES_PIECE)
            break;
        n = all.n - u.rest.n;
    }
    return span_slice(all, 0, n);
}

static void
answer_list(struct job *j)
{
    struct span names = buf_span(&j->names), some;
    if (j->result != R_OK) {
        send_names(j,
                   j->result == R_NONE ? DIRECTORY_NAMES_UNKNOWN : DIRECTORY_NAMES_FAILED,
                   j->result == R_NONE ? SPAN_NONE : span_str(j->fault.why));
        return;
    }
    while ((some = some_names(names)).n < names.n) {
        must(some.n > 0);
        send_names(j, DIRECTORY_NAMES_MORE, some);
        names = span_skip(names, some.n);
    }
    send_names(j, DIRECTORY_NAMES_LAST, names);
}

static void
answer(struct job *j)
{
    struct buf b, hash;
    if (j->list) {
        answer_list(j);
        return;
    }
    buf_init(&b, LIMIT_channel_message);
    buf_init(&hash, (size_t)2 * LIMIT_config_text + 2);
    put_scheme(j, &hash);
    struct directory_answer m = {.request = j->request,
                                 .verdict = (uint8_t)verdict_of(j),
                                 .disabled = j->user.disabled,
                                 .there = j->user.there,
                                 .hash = buf_span(&hash),
                                 .networks = buf_span(&j->user.networks),
                                 .groups = buf_span(&j->user.groups),
                                 .quota_storage = j->user.quota.storage,
                                 .quota_messages = j->user.quota.messages};
    directory_answer_put(&b, &m);
    must(!b.over && !hash.over);
    role_server_answer(&j->role->server, j->generation, MESSAGE_DIRECTORY_ANSWER,
                       buf_span(&b));
    buf_wipe(&hash);
    buf_wipe(&b);
}

// ---- databases that block ----

static void
run_on_pool(void *arg)
{
    struct job *j = arg;
    struct span name = name_span(&j->name);
    if (j->list) {
        j->result = directory_list_names(j->directory, j->source, &j->names, &j->fault);
        return;
    }
    j->result = j->verify
                    ? directory_verify(j->directory, j->source, name,
                                       buf_span(&j->password), &j->fault)
                    : directory_find(j->directory, j->source, name, &j->user, &j->fault);
}

static void
note_health(struct job *j)
{
    struct health *h = &base_of(j)->health;
    struct field database = field_str("database", "", user_source_name(j->source));
    bool lost = j->result == R_FAIL && j->fault.kind == FAULT_UNAVAILABLE;
    if (lost)
        log_warning("directory", "the user database did not answer", database,
                    log_fault(&j->fault));
    else if (j->result == R_FAIL)
        log_warning("directory", "the user database cannot tell who this is", database,
                    log_user(name_span(&j->name)), log_fault(&j->fault));
    else if (h->lost)
        log_info("directory", "the user database answers again", database);
    h->lost = lost;
    h->lost_ms = clock_mono_ms();
    h->trying = false;
}

static bool
may_try(const struct job *j)
{
    const struct health *h = &base_of(j)->health;
    if (!h->lost)
        return true;
    return !h->trying && clock_mono_ms() - h->lost_ms >= LIMIT_directory_rest_ms;
}

static void start_waiting(struct base *base);

static void
job_task(void *arg)
{
    struct job *j = arg;
    struct base *base = base_of(j);
    pool_run(j->role->pool, run_on_pool, j);
    note_health(j);
    answer(j);
    base->idle[base->idle_count++] = j->directory;
    job_free(j);
    start_waiting(base);
}

static void start_list(struct base *base);

static void
list_task(void *arg)
{
    struct job *j = arg;
    struct base *base = base_of(j);
    pool_run(j->role->pool, run_on_pool, j);
    if (j->result == R_FAIL)
        log_warning("directory", "the users of a database cannot be listed",
                    field_str("database", "", user_source_name(j->source)),
                    log_fault(&j->fault));
    answer_list(j);
    job_free(j);
    base->listing = false;
    start_list(base);
}

// One at a time.
static void
start_list(struct base *base)
{
    struct job *j = base->lists;
    if (j == NULL || base->listing)
        return;
    DL_DELETE(base->lists, j);
    base->listing = true;
    j->directory = base->lister;
    task_start(list_task, j);
}

static void
give_up(struct job *j)
{
    j->result = fault_set(&j->fault, FAULT_UNAVAILABLE, "the user database is lost");
    answer(j);
    job_free(j);
}

static void
start_waiting(struct base *base)
{
    while (base->waiting != NULL && base->idle_count > 0) {
        struct job *j = base->waiting;
        DL_DELETE(base->waiting, j);
        base->waiting_count--;
        if (!may_try(j) || clock_mono_ms() - j->came_ms > LIMIT_directory_ms) {
            give_up(j);
            continue;
        }
        base->health.trying = true;
        j->directory = base->idle[--base->idle_count];
        task_start(job_task, j);
    }
}

// ---- the passwd-file ----

static void
on_bad_line(uint64_t line, const char *why, void *arg)
{
    (void)arg;
    log_warning("directory", "a line of the passwd-file is passed over",
                field_number("line", "line=%", line), log_why(why));
}

static void
tell_changed(struct directory_role *role)
{
    struct buf b;
    buf_init(&b, 64);
    directory_changed_put(&b, &(struct directory_changed){USER_PASSWD_FILE});
    role_server_answer(&role->server, role->server.generation, MESSAGE_DIRECTORY_CHANGED,
                       buf_span(&b));
    buf_done(&b);
}

static void
refresh_file(struct directory_role *role)
{
    struct fault f;
    enum result r = passwd_table_refresh(role->file, &f);
    if (r == R_FAIL && !role->file_failed)
        log_error("directory", "the passwd-file cannot be read", log_fault(&f));
    if (r == R_OK)
        log_info("directory", "the passwd-file was read");
    if (r == R_OK || (r == R_FAIL && !role->file_failed))
        tell_changed(role);
    role->file_failed = r == R_FAIL;
}

static void
on_look(void *arg)
{
    struct directory_role *role = arg;
    refresh_file(role);
    timer_set(&role->look, FILE_LOOK_MS);
}

static void
ask_file(struct directory_role *role, struct job *j)
{
    refresh_file(role);
    j->result =
        j->list ? passwd_table_list(role->file, &j->names, &j->fault)
        : j->verify
            ? fault_set(&j->fault, FAULT_SERVERBUG, "passwd-file judges no passwords")
            : passwd_table_find(role->file, name_span(&j->name), &j->user, &j->fault);
    answer(j);
    job_free(j);
}

// ---- questions ----

static bool
serves(const struct directory_role *role, uint8_t source)
{
    return source != USER_OWN && source != USER_PAM && source < USER_SOURCES &&
           databases_have(role->server.start->config, (enum user_source)source);
}

static struct job *
job_new(struct directory_role *role, const struct directory_ask *m, const struct name *name)
{
    struct job *j = calloc(1, sizeof *j);
    must(j != NULL);
    *j = (struct job){.role = role,
                      .request = m->request,
                      .generation = role->server.generation,
                      .came_ms = clock_mono_ms(),
                      .source = (enum user_source)m->source,
                      .verify = m->verify,
                      .name = *name};
    buf_init(&j->password, LIMIT_password);
    buf_init(&j->names, LIMIT_directory_list);
    buf_put(&j->password, m->password);
    directory_user_init(&j->user);
    return j;
}

static void
start(struct directory_role *role, struct job *j)
{
    struct base *base = base_of(j);
    if (j->source == USER_PASSWD_FILE) {
        ask_file(role, j);
    } else if (j->list) {
        DL_APPEND(base->lists, j);
        start_list(base);
    } else if (!may_try(j) || base->waiting_count >= LIMIT_directory_waiting) {
        give_up(j);
    } else {
        DL_APPEND(base->waiting, j);
        base->waiting_count++;
        start_waiting(base);
    }
}

static enum result
take_ask(void *arg, struct span body)
{
    struct directory_role *role = arg;
    struct directory_ask m;
    struct name name;
    struct fault f;
    if (directory_ask_get(body, &m) != R_OK || !serves(role, m.source) ||
        m.password.n > LIMIT_password || name_of(m.name, &name, &f) != R_OK)
        return R_FAIL;
    struct job *j = job_new(role, &m, &name);
    start(role, j);
    return R_OK;
}

static enum result
take_list(void *arg, struct span body)
{
    struct directory_role *role = arg;
    struct directory_list m;
    if (directory_list_get(body, &m) != R_OK || !serves(role, m.source))
        return R_FAIL;
    const struct directory_ask ask = {.request = m.request, .source = m.source};
    struct job *j = job_new(role, &ask, &(struct name){0});
    j->list = true;
    start(role, j);
    return R_OK;
}

static void
base_begin(struct directory_role *role, struct base *b)
{
    b->lister = directory_new(&role->settings);
    for (; b->idle_count < WORKERS; b->idle_count++)
        b->idle[b->idle_count] = directory_new(&role->settings);
}

static bool
blocks(int source)
{
    return source == USER_SQL || source == USER_LDAP;
}

// Is a question still on the pool?
static bool
is_asking(const struct directory_role *role)
{
    for (int i = 0; i < USER_SOURCES; i++)
        if (blocks(i) && (role->bases[i].idle_count < WORKERS || role->bases[i].listing))
            return true;
    return false;
}

static void
begin(void *arg)
{
    struct directory_role *role = arg;
    role->pool = pool_new((WORKERS + 1) * 2);
    for (int i = 0; i < USER_SOURCES; i++)
        if (blocks(i))
            base_begin(role, &role->bases[i]);
    timer_init(&role->look, on_look, role);
    if (databases_have(role->server.start->config, USER_PASSWD_FILE)) {
        role->file = passwd_table_new(role->settings.passwd_file, on_bad_line, role);
        on_look(role);
    }
    role_server_ready(&role->server);
}

// ---- the sandbox ----

struct places {
    char paths[PLACES_MAX][PATH_MAX];
    struct sandbox_place rows[PLACES_MAX];
    size_t n;
};

// The folder of a file, and of what the file is a link to: a new file may be put in its place.
static void
add_folder(struct places *p, const char *file, bool writes)
{
    char real[PATH_MAX], copy[PATH_MAX];
    const char *const files[] = {file, realpath(file, real)};
    for (size_t i = 0; i < 2; i++) {
        if (files[i] == NULL || files[i][0] != '/' || strlen(files[i]) >= PATH_MAX)
            continue;
        memcpy(copy, files[i], strlen(files[i]) + 1);
        must(p->n < PLACES_MAX);
        memcpy(p->paths[p->n], dirname(copy), strlen(copy) + 1);
        p->rows[p->n] = (struct sandbox_place){p->paths[p->n], writes};
        p->n++;
    }
}

// SQLite writes beside a file of its own kind "WAL" also to read it, if the file's owner lets it.
static enum result
confine(const struct role_start *start, const struct directory_settings *s)
{
    static const char sqlite[] = "sqlite:";
    static struct places places;
    uint16_t ports[PORTS_MAX] = {53};
    size_t n = 1;
    for (int i = 0; i < USER_SOURCES; i++)
        if (databases_have(start->config, (enum user_source)i))
            n += directory_ports((enum user_source)i, s, ports + n, PORTS_MAX - n);
    if (databases_have(start->config, USER_PASSWD_FILE))
        add_folder(&places, s->passwd_file, false);
    if (databases_have(start->config, USER_SQL) &&
        span_starts(span_str(s->sql.connection), SPAN("sqlite:")))
        add_folder(&places, s->sql.connection + strlen(sqlite), true);
    if (databases_have(start->config, USER_LDAP) && s->ldap.ca[0]) {
        must(places.n < PLACES_MAX);
        places.rows[places.n++] = (struct sandbox_place){s->ldap.ca, false};
    }
    return role_confine_with(start, &(struct sandbox_paths){.data = start->config->data,
                                                            .ports = ports,
                                                            .port_count = n,
                                                            .places = places.rows,
                                                            .place_count = places.n});
}

int
role_directory_main(const struct role_start *start)
{
    // a question still on the pool may come back to it until the process is gone
    static struct directory_role role;
    role.server = (struct role_server){.start = start,
                                       .questions = {{MESSAGE_DIRECTORY_ASK, take_ask},
                                                     {MESSAGE_DIRECTORY_LIST, take_list}},
                                       .role = &role};
    role.settings = databases_settings(start->config);
    closefrom(start->supervisor + 1);
    name_warm();
    directory_warm(&role.settings);
    if (confine(start, &role.settings) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role_server_run(&role.server, begin);
    timer_clear(&role.look);
    role_server_close(&role.server);
    // a question on the pool reads the settings, which the caller frees
    if (role.pool != NULL && is_asking(&role))
        _exit(ROLE_EXIT_DRAINED);
    return ROLE_EXIT_DRAINED;
}
