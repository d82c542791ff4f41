#include "main/auth_inside.h"
#include "auth/verbs.h"
#include "base/limits.h"
#include <utlist.h>

enum {
    VERB_ARGS_MAX = 8,
    VERB_TEXT_MAX = 1 << 30,
    VERB_PIECE = 12000,  // of an answer, in one message
};

// One request until it is answered. It owns a copy of the message, which is gone before the password is hashed.
struct verb_job {
    struct verb_job *prev, *next;
    struct auth_role *role;
    struct auth_channel *at;  // NULL: it has gone
    uint64_t request;
    struct buf verb, packed;
    struct span args[VERB_ARGS_MAX];
    struct verbs_call call;
    struct buf names;  // of outer databases
    enum result result;
    struct fault fault;
};

static void
send_piece(struct auth_channel *at, const struct admin_reply *reply)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    admin_reply_put(&b, reply);
    channel_send(at->channel, MESSAGE_ADMIN_REPLY, buf_span(&b), -1);
    buf_done(&b);
}

void
auth_send_text(struct auth_channel *at, uint64_t request, struct span text, bool failed)
{
    while (text.n > VERB_PIECE) {
        struct admin_reply part = {request, ADMIN_MORE, span_slice(text, 0, VERB_PIECE)};
        send_piece(at, &part);
        text = span_skip(text, VERB_PIECE);
    }
    struct admin_reply last = {request, failed ? ADMIN_FAILED : ADMIN_DONE, text};
    send_piece(at, &last);
}

static void
put_fault(struct buf *text, const struct fault *f)
{
    pack_u8(text, (uint8_t)f->kind);
    buf_put_str(text, f->why);
}

void
auth_send_fault(struct auth_channel *at, uint64_t request, const struct fault *f)
{
    struct buf text;
    buf_init(&text, LIMIT_channel_message);
    put_fault(&text, f);
    auth_send_text(at, request, buf_span(&text), true);
    buf_done(&text);
}

static enum result
read_args(struct verb_job *j)
{
    struct unpack u = unpack_of(buf_span(&j->packed));
    while (u.rest.n > 0 && !u.bad && j->call.n < VERB_ARGS_MAX)
        j->args[j->call.n++] = unpack_span(&u);
    j->call.args = j->args;
    return unpack_end(&u);
}

static void
job_free(struct verb_job *j)
{
    DL_DELETE(j->role->verbs, j);
    buf_wipe(&j->packed);  // there may be a password in it
    buf_done(&j->verb);
    buf_done(&j->names);
    buf_done(&j->call.hash);
    buf_done(&j->call.ended);
    buf_done(&j->call.keep);
    free(j);
}

static void
make(void *arg)
{
    struct verb_job *j = arg;
    j->result = verbs_make(&j->call, &j->fault);
}

static void
end_sessions(struct verb_job *j)
{
    struct unpack u = unpack_of(buf_span(&j->call.ended));
    if (j->call.ended_account != 0)
        auth_revoke_but(j->role, &(struct revoked){.account = j->call.ended_account,
                                                   .password = j->call.ended_password,
                                                   .keep = buf_span(&j->call.keep)});
    while (u.rest.n > 0)
        auth_revoke(j->role, unpack_u64(&u), 0);
}

static void
answer(void *arg)
{
    struct verb_job *j = arg;
    struct buf text;
    buf_init(&text, VERB_TEXT_MAX);
    struct lookup_rules rules = auth_rules(j->role);
    j->call.rules = &rules;
    j->call.outer = j->role->bases.outer != NULL;
    j->call.stays = j->role->settings.stays;
    if (j->result == R_OK)
        j->result = verbs_apply(j->role->db, &j->call, &text, &j->fault);
    if (j->result != R_OK) {
        buf_reset(&text);
        put_fault(&text, &j->fault);
    }
    if (j->result == R_OK)
        end_sessions(j);
    if (j->result == R_OK && j->call.touched_account != 0)
        auth_tell_changed(j->role, j->call.touched_account);
    if (j->at != NULL)
        auth_send_text(j->at, j->request, buf_span(&text), j->result != R_OK);
    buf_wipe(&text);  // there may be a new password in it
    auth_offer_update(j->role);
    if (j->result == R_OK && span_eq(j->call.verb, SPAN("user load")))
        pace_measure(j->role);  // perhaps of schemes that nobody had
    job_free(j);
}

static void
make_on_pool(void *arg)
{
    struct verb_job *j = arg;
    pool_run(j->role->pool, make, j);
    loop_post(j->role->loop, answer, j);
}

// The outer databases have told who is in them.
static void
answer_list(void *arg, enum result r, struct span names, const struct fault *f)
{
    struct verb_job *j = arg;
    buf_put(&j->names, names);
    j->call.listed = buf_span(&j->names);
    j->result = r;
    if (r != R_OK)
        j->fault = *f;
    answer(j);
}

enum result
auth_verb(struct auth_channel *at, const struct admin_request *m)
{
    if (span_eq(m->verb, SPAN("auth test")))
        return trial_start(at, m);
    struct verb_job *j = calloc(1, sizeof *j);
    must(j != NULL);
    j->role = at->role;
    j->at = at;
    j->request = m->request;
    DL_APPEND(at->role->verbs, j);
    buf_init(&j->verb, LIMIT_channel_message);
    buf_init(&j->packed, LIMIT_channel_message);
    buf_init(&j->names, LIMIT_directory_list);
    buf_put(&j->verb, m->verb);
    j->call.verb = buf_span(&j->verb);
    buf_put(&j->packed, m->args);
    if (read_args(j) != R_OK) {
        job_free(j);
        return R_FAIL;
    }
    if (j->role->bases.outer != NULL && span_eq(m->verb, SPAN("user list"))) {
        listing_start(j->role, answer_list, j);
        return R_OK;
    }
    if (verbs_slow(m->verb)) {
        task_start(make_on_pool, j);
        return R_OK;
    }
    make(j);
    answer(j);
    return R_OK;
}

void
auth_verb_forget(struct auth_channel *at)
{
    struct verb_job *j;
    DL_FOREACH(at->role->verbs, j)
    if (j->at == at)
        j->at = NULL;
}
