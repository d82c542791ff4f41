#include "base/clock.h"
#include "base/hex.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "ctl/frame.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"

struct listing {
    struct verb_call *call;
    struct fault *fault;
    enum result result;
};

static void
send_row(void *to, struct span row)
{
    struct listing *l = to;
    if (l->result == R_OK)
        l->result = verb_rows(l->call, row, l->fault);
}

enum result
verb_status(struct verb_call *c, struct fault *f)
{
    if (metric_get(METRIC_ready) == 0)
        return fault_set(f, FAULT_UNAVAILABLE,
                         "not ready: a process of the server does not work; its log "
                         "says which");
    verb_row(c, "status",
             FIELDS(field_str("version", "ready, version %", POSTHORN_VERSION),
                    field_number("sessions", ", % sessions", metric_get(METRIC_sessions)),
                    field_number("restarts", ", % restarts of processes",
                                 metric_get(METRIC_role_restarts))));
    return R_OK;
}

// The user's name as sessions have it: "ann" of who is ann@example.org. Not found: as it was given, since sessions may be left
// of who is gone, or whose database does not answer.
static enum result
name_of(struct verb_call *c, struct buf *user, struct fault *f)
{
    uint64_t account;
    if (verb_find_user(c, verb_arg(c, 0), &account, user, f) == R_OK)
        return R_OK;
    buf_reset(user);
    buf_put(user, verb_arg(c, 0));
    return R_FAIL;
}

enum result
verb_who(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct listing l = {c, f, R_OK};
    struct fault none;
    struct buf user;
    buf_init(&user, FRAME_MAX);
    if (verb_arg(c, 0).n > 0)
        (void)name_of(c, &user, &none);
    h->who(h->arg, buf_span(&user), send_row, &l);
    buf_done(&user);
    return l.result;
}

enum result
verb_kick(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct buf user;
    uint64_t id = 0;
    if (verb_arg_count(c) > 1 && (!hex_id(verb_arg(c, 1), &id) || id == 0))
        return fault_set(f, FAULT_BAD,
                         "a session is 16 digits, as `posthorn who` tells it");
    buf_init(&user, FRAME_MAX);
    enum result found = name_of(c, &user, f);
    unsigned n = h->kick(h->arg, buf_span(&user), id);
    buf_done(&user);
    if (found != R_OK && n == 0)
        return R_FAIL;
    verb_row(c, "kicked", FIELDS(field_number("sessions", "% sessions ended", n)));
    return R_OK;
}

// Until when; 0: off.
static enum result
rawlog_until(struct verb_call *c, int64_t *until_out, struct fault *f)
{
    struct span word = verb_arg(c, 1), text = verb_arg(c, 2);
    uint64_t seconds = LIMIT_rawlog_usual_s;
    bool on = span_eq(word, SPAN("on"));
    if (!on && !span_eq(word, SPAN("off")))
        return fault_set(f, FAULT_BAD, "on or off");
    if (text.n > 0 && (!on || setting_time(text, &seconds) != R_OK || seconds == 0 ||
                       seconds > LIMIT_rawlog_most_s))
        return fault_set(f, FAULT_BAD, "--for TIME goes with on: 10m, 2h, 7d at most");
    *until_out = on ? clock_wall_s() + (int64_t)seconds : 0;
    return R_OK;
}

enum result
verb_rawlog(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct buf user;
    uint64_t account;
    int64_t until_s = 0;
    unsigned sessions = 0;
    buf_init(&user, LIMIT_user_name);
    enum result r = rawlog_until(c, &until_s, f);
    if (r == R_OK)
        r = verb_find_user(c, verb_arg(c, 0), &account, &user, f);
    if (r == R_OK)
        r = h->rawlog(h->arg, account, until_s, &sessions, f);
    if (r == R_OK)
        verb_row(c, "rawlog",
                 FIELDS(field_text("user", "%", buf_span(&user)),
                        field_flag("on", until_s > 0 ? ": on" : "", until_s > 0),
                        field_str(NULL, until_s > 0 ? "" : ": off", ""),
                        field_number("sessions", ", % sessions are open", sessions)));
    buf_done(&user);
    return r;
}
