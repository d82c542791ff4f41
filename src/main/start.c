#include "main/start.h"
#include "base/limits.h"
#include "base/load.h"
#include "base/log.h"
#include "ctl/programs.h"
#include "os/probe.h"
#include "main/shared.h"
#include "os/sandbox.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

enum {
    START_CHANNEL = SPAWN_FIRST_FD,
    START_SETTINGS = SPAWN_FIRST_FD + 1,
    START_SHARED = SPAWN_FIRST_FD + 2,
    START_FDS = 3
};

struct role_row {
    const char *name;
    role_main_fn *main;
};

static const struct role_row rows[] = {
    {"gate", role_gate_main},   {"auth", role_auth_main},
    {"mail", role_mail_main},   {"extract", role_extract_main},
    {"oauth", role_oauth_main}, {"directory", role_directory_main},
    {"relay", role_relay_main}, {"scan", role_scan_main},
    {"pipe", role_pipe_main},   {"http", role_http_main},
#ifdef HAVE_PAM
    {"pam", role_pam_main},
#endif
};

void
start_put_settings(struct buf *b, const struct config *c, const struct role *r)
{
    struct config told = *c;
    config_hide(&told, r->name);
    config_put(b, &told);
}

static enum result
pack_start(const struct role_start *s, int *fd_out, struct fault *f)
{
    struct buf b;
    buf_init(&b, LIMIT_config_packed);
    pack_u32(&b, s->index);
    pack_u32(&b, s->gates);
    pack_u32(&b, s->mail_threads);
    pack_u8(&b, s->rebuild);
    pack_u32(&b, s->ids.uid);
    pack_u32(&b, s->ids.gid);
    start_put_settings(&b, s->config, s->role);
    int fd = memfd_create("posthorn-settings", MFD_CLOEXEC);
    bool written = fd >= 0 && !b.over && write(fd, b.p, b.n) == (ssize_t)b.n &&
                   lseek(fd, 0, SEEK_SET) == 0;
    buf_done(&b);
    if (written) {
        *fd_out = fd;
        return R_OK;
    }
    fault_errno(f, FAULT_UNAVAILABLE, "settings for a role");
    if (fd >= 0)
        close(fd);
    return R_FAIL;
}

enum result
start_role(const struct role_start *start, int shared, struct spawned *out,
           int *channel_out, struct fault *f)
{
    int pair[2], settings;
    if (channel_pair(pair, f) != R_OK)
        return R_FAIL;
    enum result r = pack_start(start, &settings, f);
    if (r == R_OK) {
        r = spawn_role(start->role, (const int[]){pair[1], settings, shared}, START_FDS,
                       out, f);
        close(settings);
    }
    close(pair[1]);
    if (r == R_OK)
        *channel_out = pair[0];
    else
        close(pair[0]);
    return r;
}

static enum result
read_settings(struct buf *b)
{
    for (;;) {
        char *room = buf_reserve(b, 65536);
        ssize_t n = room ? read(START_SETTINGS, room, 65536) : -1;
        if (n == 0)
            break;
        if (n < 0)
            return R_FAIL;
        b->n += (size_t)n;
    }
    close(START_SETTINGS);
    return R_OK;
}

static enum result
take_shared(struct role_start *s)
{
    struct fault f;
    if (shared_map(START_SHARED, &s->shared, &f) != R_OK)
        return R_FAIL;
    close(START_SHARED);
    load_share(&s->shared->load_until_ms);
    metrics_share(&s->shared->metrics);
    return R_OK;
}

static enum result
unpack_start(struct span packed, struct role_start *s, struct config **c_out)
{
    struct unpack u = unpack_of(packed);
    s->index = unpack_u32(&u);
    s->gates = unpack_u32(&u);
    s->mail_threads = unpack_u32(&u);
    s->rebuild = unpack_u8(&u) != 0;
    s->ids.uid = unpack_u32(&u);
    s->ids.gid = unpack_u32(&u);
    return u.bad ? R_FAIL : config_get(u.rest, c_out);
}

static int
run(const struct role *r, struct role_start *s)
{
    struct fault f;
    config_log_open(s->config, r->name);
    programs_offer(s->config);
    if (r->user == ROLE_SERVICE && s->ids.uid != 0 && user_drop(&s->ids, &f) != R_OK) {
        log_error("main", "the role cannot become its user", log_fault(&f));
        return ROLE_EXIT_SETTINGS;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_eq(span_str(rows[i].name), span_str(r->name)))
            return rows[i].main(s);
    return ROLE_EXIT_SETTINGS;
}

int
start_as(const struct role *r)
{
    struct role_start s = {.role = r, .supervisor = START_CHANNEL};
    struct config *c = NULL;
    struct buf b;
    signal(SIGPIPE, SIG_IGN);
    // a terminal and systemd tell the whole group; the supervisor drains us, or reloads
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    tzset();  // the time zone file is out of reach later
    buf_init(&b, LIMIT_config_packed + 65536);
    enum result read = read_settings(&b);
    if (read == R_OK)
        read = unpack_start(buf_span(&b), &s, &c);
    buf_done(&b);
    if (read != R_OK) {
        fprintf(stderr, "posthorn: %s: its settings did not arrive\n", r->name);
        return ROLE_EXIT_FAILED;
    }
    if (take_shared(&s) != R_OK) {
        fprintf(stderr, "posthorn: %s: it cannot map shared memory\n", r->name);
        config_free(&c);
        return ROLE_EXIT_FAILED;
    }
    s.config = c;
    int code = run(r, &s);
    config_free(&c);
    return code;
}

enum result
role_confine_with(const struct role_start *start, const struct sandbox_paths *paths)
{
    struct fault f;
    bool required = span_eq(span_str(start->config->sandbox), SPAN("required"));
    switch (sandbox_apply(start->role, paths, &f)) {
    case R_OK:
        return R_OK;
    case R_NONE:
        if (required)
            break;
        log_warning("main", "the sandbox is not whole", log_fault(&f));
        return R_OK;
    case R_FAIL:
        break;
    }
    log_error("main", "no sandbox", log_fault(&f));
    return R_FAIL;
}

enum result
role_confine(const struct role_start *start, int close_from)
{
    return role_confine_with(start, &(struct sandbox_paths){.data = start->config->data,
                                                            .close_from = close_from});
}

int
role_descriptors(void)
{
    struct rlimit r = {0};
    return getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < INT_MAX ? (int)r.rlim_cur
                                                                     : INT_MAX;
}

int
role_descriptors_but(int kept)
{
    int all = role_descriptors();
    return all - (kept < all / 4 ? kept : all / 4);
}

// Something in the data directory that the role has no business with.
static void
put_other_place(const struct role_start *start, struct buf *b)
{
    bool auth = span_eq(span_str(start->role->name), SPAN("auth"));
    buf_printf(b, "%s/%s", start->config->data, auth ? "journal" : "users/users.db");
    buf_put_char(b, '\0');
}

void
role_probe(const struct role_start *start)
{
    struct buf place, report;
    struct span rest, line;
    if (!start->config->test_probe)
        return;
    buf_init(&place, 4096);
    buf_init(&report, 65536);
    put_other_place(start, &place);
    must(!place.over);
    struct probe_targets t = {.foreign = "/etc/hostname", .other_role = place.p, .port = 1};
    bool holds = probe_run(start->role, &t, &report);
    rest = buf_span(&report);
    while (span_next_field(&rest, '\n', &line) == R_OK)
        if (line.n > 0)
            log_info("main", "probe", field_text("finding", ": %", line));
    log_info("main", "probe",
             field_str("finding", ": the sandbox %", holds ? "holds" : "DOES NOT HOLD"));
    buf_done(&place);
    buf_done(&report);
}
