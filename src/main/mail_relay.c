#include "main/mail_role.h"
#include "auth/address.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/task.h"
#include "mail/account.h"
#include "mail/intake.h"
#include "relay/link.h"
#include "store/disk.h"

// What mail has to do with the role relay: each home has a channel to it, and reports about mail that did not arrive come back for users
// here.

enum { PIECE = 65536 };

struct report {
    struct home *home;
    uint64_t request;
    struct buf address;
    int fd;
    uint64_t at, size;
    struct arena *arena;
    struct lmtp_targets targets;
    struct intake *intake;
    struct fault fault;
};

// One mailbox of them.
struct filing {
    struct report *report;
    const struct lmtp_target *target;
    enum result result;
};

// ---- a report for users here ----

static enum result
read_report(struct report *r)
{
    char *piece = arena_alloc(r->arena, PIECE);
    enum result result = intake_write(r->intake, SPAN("Return-Path: <>\r\n"), &r->fault);
    for (uint64_t done = 0; result == R_OK && done < r->size;) {
        size_t n = r->size - done < PIECE ? (size_t)(r->size - done) : PIECE;
        result = disk_read(r->fd, r->at + done, piece, n, false, &r->fault);
        if (result == R_NONE)
            result = fault_set(&r->fault, FAULT_UNAVAILABLE, "the report is cut");
        if (result == R_OK)
            result = intake_write(r->intake, span_of(piece, n), &r->fault);
        done += n;
    }
    return result == R_OK ? intake_finish(r->intake, &r->fault) : R_FAIL;
}

// In the account's home.
static void
file_run(void *arg)
{
    struct filing *filing = arg;
    struct report *r = filing->report;
    const struct lmtp_target *t = filing->target;
    struct intake_params p = {.quota = QUOTA_DELIVERY};
    struct intake_result out;
    struct mailbox_ref box;
    struct account *a;
    filing->result =
        account_make(r->home->role->mail, t->account, t->name, t->language, &a, &r->fault);
    if (filing->result != R_OK)
        return;
    filing->result = intake_delivery_target(a, SPAN_NONE, &box, &r->fault);
    if (filing->result == R_OK)
        filing->result = intake_commit(r->intake, &box, &p, &out, &r->fault);
    if (filing->result == R_OK)
        log_info("relay", "a report was saved", log_user(t->name),
                 field_number("uid", "uid=%", out.uid));
    account_close(&a);
}

// One of several that cannot have it does not make the others get it again at each try.
static enum result
file_all(struct report *r)
{
    struct mail *mail = r->home->role->mail;
    bool some = false;
    for (size_t i = 0; i < r->targets.n; i++) {
        struct filing filing = {r, &r->targets.list[i], R_FAIL};
        task_run_on(mail_home(mail, filing.target->account), file_run, &filing);
        some |= filing.result == R_OK;
        if (filing.result != R_OK)
            log_warning("relay", "a report was not saved", log_user(filing.target->name),
                        log_fault(&r->fault));
    }
    return some ? R_OK : R_FAIL;
}

// R_NONE: nobody here, or somebody elsewhere too: the smarthost knows the way.
static enum result
resolve(struct report *r)
{
    struct buf plain;
    const struct lmtp_host *host = &r->home->lmtp;
    buf_init(&plain, LIMIT_smtp_line);
    enum result result = R_NONE;
    if (address_unquote(buf_span(&r->address), &plain) == R_OK)
        result = host->resolve(host->arg, arena_dup(r->arena, buf_span(&plain)), true,
                               r->arena, &r->targets, &r->fault);
    buf_done(&plain);
    for (size_t i = 0; result == R_OK && i < r->targets.n; i++)
        if (r->targets.list[i].account == 0)
            result = R_NONE;
    return result;
}

static enum relay_return_verdict
deliver(struct report *r)
{
    enum result result = resolve(r);
    if (result == R_NONE)
        return RELAY_RETURN_ELSEWHERE;
    if (result == R_OK) {
        r->intake = intake_begin(r->home->role->mail);
        result = read_report(r) == R_OK ? file_all(r) : R_FAIL;
        intake_free(&r->intake);
    }
    if (result == R_OK)
        return RELAY_RETURN_DONE;
    log_warning("relay", "a report was not saved",
                field_text("to", "to=<%>", buf_span(&r->address)), log_fault(&r->fault));
    return r->fault.kind == FAULT_TOOBIG ? RELAY_RETURN_REFUSED : RELAY_RETURN_LATER;
}

static void
report_task(void *arg)
{
    struct report *r = arg;
    r->arena = arena_new();
    relay_link_returned(r->request, (uint8_t)deliver(r));
    arena_free(&r->arena);
    buf_done(&r->address);
    close(r->fd);
    free(r);
}

static void
on_return(void *arg, uint64_t request, struct span address, int fd, uint64_t at,
          uint64_t size)
{
    struct report *r = calloc(1, sizeof *r);
    must(r != NULL);
    *r = (struct report){.home = arg, .request = request, .fd = fd, .at = at, .size = size};
    buf_init(&r->address, LIMIT_smtp_line);
    buf_put(&r->address, address);
    task_start(report_task, r);
}

// ---- the link ----

static void
ask_again(void *arg)
{
    struct home *h = arg;
    role_link_lost(h->role->link, "relay", h->index);
}

static void
on_lost(void *arg)
{
    struct home *h = arg;
    loop_post(h->role->homes[0].loop, ask_again, h);
}

void
mail_relay_link(struct home *h, int fd)
{
    relay_link_open(fd, &(struct relay_link_ops){on_lost, on_return, h});
}

void
mail_relay_close(void)
{
    relay_link_close();
}

void
mail_relay_host(struct mail_role *r)
{
    relay_set(r->start->config->relay_host[0] != '\0');
}
