#include "ctl/account.h"
#include "ctl/import.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include <pthread.h>

enum {
    PIECE = 16384,
    NOTES_MAX = 1 << 20,
    IMPORTS_MAX = 64,
    CLAIM_MS = 100,
    CLAIM_TRIES = 600
};

// While a slow reader is waited for commits go on, and may have more to say.
static void
say_notes(struct import *im)
{
    struct fault f;
    while (im->notes.n > 0) {
        struct buf said = im->notes;
        buf_init(&im->notes, NOTES_MAX);
        enum result r = verb_notes(im->call, buf_span(&said), &f);
        must(r == R_OK);  // they are import_note's
        buf_done(&said);
    }
}

static enum result
subscribe(struct import *im, struct span name, struct fault *f)
{
    struct span clean, target;
    struct fault why;
    im->subscriptions = true;
    if (im->restore != NULL && im->restore->dry_run)
        return R_OK;
    if (import_map(im, f) != R_OK)
        return R_FAIL;
    target = import_names_target(&im->names, name, im->arena);
    if (mail_name_check(im->arena, target, &clean, &why) != R_OK) {
        import_leave_out(im, name, span_str(why.why));
        return R_OK;
    }
    return tree_subscribe(im->user, clean, true, f);
}

static enum result
take_mailbox(struct import *im, struct span payload, struct fault *f)
{
    struct parcel_mailbox m;
    if (parcel_get_mailbox(payload, &m) != R_OK)
        return fault_set(f, FAULT_BAD, "a mailbox's head is malformed");
    return import_mailbox_begin(im, &m, f);
}

static enum result
announce_use(struct import *im, struct span payload, struct fault *f)
{
    struct span use, name;
    if (parcel_get_use(payload, &use, &name) != R_OK)
        return fault_set(f, FAULT_BAD, "a name is malformed");
    return import_names_add(&im->names, name, special_use_from(use), f);
}

static enum result
take(struct import *im, const struct parcel *p, struct fault *f)
{
    bool of_message = p->kind == PARCEL_OCTETS || p->kind == PARCEL_END ||
                      p->kind == PARCEL_ABORT || p->kind == PARCEL_ORIGIN;
    if (p->kind == PARCEL_BROKEN)
        import_message_free(&im->message);
    else if (of_message != (im->message != NULL))
        return fault_set(f, FAULT_BAD, "a parcel of kind %u at the wrong place", p->kind);
    switch (p->kind) {
    case PARCEL_ANNOUNCE:
        return import_names_add(&im->names, p->payload, USE_NONE, f);
    case PARCEL_USE:
        return announce_use(im, p->payload, f);
    case PARCEL_BROKEN:
        im->broken = true;  // the command's side knows why
        return R_OK;
    case PARCEL_SUBSCRIBED:
        return subscribe(im, p->payload, f);
    case PARCEL_MAILBOX:
        return take_mailbox(im, p->payload, f);
    case PARCEL_MESSAGE:
        return import_message_begin(im, p->payload, f);
    case PARCEL_OCTETS:
        import_message_octets(im, p->payload);
        return R_OK;
    case PARCEL_END:
        return import_message_end(im, f);
    case PARCEL_ABORT:
        import_message_abort(im, p->payload);
        return R_OK;
    case PARCEL_PROBLEM:
        if (im->pull != NULL)
            import_pull_left(im, 0);
        import_leave_out(im, SPAN("source"), p->payload);
        return R_OK;
    case PARCEL_FACT:
        return im->pull == NULL ? import_fact(im, p->payload, f)
                                : fault_set(f, FAULT_BAD, "a fact at the wrong place");
    case PARCEL_ORIGIN:
        return import_message_origin(im, p->payload, f);
    default:
        return import_pull_take(im, p, f);
    }
}

// Takes the whole parcels off the front of `in`.
static enum result
take_all(struct import *im, struct buf *in, struct fault *f)
{
    struct parcel p;
    enum result r;
    size_t used = 0;
    while ((r = parcel_get(span_skip(buf_span(in), used), &p, f)) == R_OK) {
        if (take(im, &p, f) != R_OK)
            return R_FAIL;
        used += p.size;
        say_notes(im);
    }
    buf_consume(in, used);
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
read_all(struct import *im, struct fault *f)
{
    struct buf in;
    size_t n = 1;
    enum result r = R_OK;
    buf_init(&in, PARCEL_MAX + PARCEL_HEAD + PIECE);
    while (r == R_OK && n > 0) {
        char *room = buf_reserve(&in, PIECE);
        must(room != NULL);
        r = verb_in(im->call, room, PIECE, &n, f);
        if (r == R_OK) {
            in.n += n;
            r = take_all(im, &in, f);
        }
    }
    if (r == R_OK && (in.n > 0 || im->message != NULL))
        r = fault_set(f, FAULT_BAD, "the input is cut short");
    buf_done(&in);
    return r;
}

static void
report(struct import *im)
{
    const struct import_counts *c = &im->counts;
    verb_row(im->call, "imported",
             FIELDS(field_number("messages", "imported % messages", c->messages),
                    field_number("octets", " (% octets)", c->octets),
                    field_number("mailboxes", " into % mailboxes", c->mailboxes),
                    field_number("present", "; % were there already", c->present),
                    field_number("renumbered", ", % got a new UID", c->renumbered),
                    field_number("left_out", ", % left out", c->left_out),
                    field_number("facts", c->facts ? IMPORT_FACTS_STYLE : "", c->facts),
                    field_text("user", "", verb_arg(im->call, ARG_USER)),
                    field_text("source", "", verb_arg(im->call, ARG_PATH))));
}

static enum result
import(struct import *im, struct fault *f)
{
    enum result r = read_all(im, f);
    import_message_free(&im->message);
    if (r == R_OK && !im->broken)
        r = import_mailbox_end(im, f);
    else
        import_mailbox_drop(im);
    say_notes(im);
    if (im->restore == NULL)
        report(im);
    else if (r == R_OK)
        import_restore_report(im);
    if (r == R_OK && im->counts.left_out > 0)
        r = fault_set(f, FAULT_CANNOT, "%llu were left out",
                      (unsigned long long)im->counts.left_out);
    return r;
}

// ---- one import into an account at a time: what is there already is looked up once, at the start ----

static pthread_mutex_t claims_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t claims[IMPORTS_MAX];

// R_NONE: the account is taken. R_FAIL: no room for one more.
static enum result
claim(uint64_t from, uint64_t to)
{
    pthread_mutex_lock(&claims_lock);
    uint64_t *free_one = NULL;
    bool taken = false;
    for (size_t i = 0; i < IMPORTS_MAX; i++) {
        taken |= to != 0 && claims[i] == to;
        if (claims[i] == from)
            free_one = &claims[i];
    }
    if (free_one != NULL && !taken)
        *free_one = to;
    pthread_mutex_unlock(&claims_lock);
    if (taken)
        return R_NONE;
    return free_one != NULL ? R_OK : R_FAIL;
}

// A run whose command was killed ends soon after; the next one waits for it.
static enum result
claim_wait(uint64_t account, struct fault *f)
{
    enum result r = R_NONE;
    for (unsigned i = 0; i < CLAIM_TRIES && (r = claim(0, account)) != R_OK; i++)
        task_sleep(CLAIM_MS);
    if (r == R_OK)
        return R_OK;
    if (r == R_NONE)
        return fault_set(f, FAULT_INUSE, "another import into this account is running");
    return fault_set(f, FAULT_LIMIT, "%d imports are running already", IMPORTS_MAX);
}

static enum result
import_or_restore(struct import *im, struct fault *f)
{
    if (im->restore == NULL)
        return import(im, f);
    if (import_restore_begin(im, f) != R_OK)
        return R_FAIL;
    enum result r = import(im, f);
    import_restore_end(im);
    return r;
}

// The arguments are those of the command's side (verbs_pull.c).
static struct import_pull *
pull_of(struct verb_call *c, const struct import_restore *restore)
{
    if (restore != NULL || !span_eq(verb_arg(c, ARG_FORMAT), SPAN("imap")))
        return NULL;
    return import_pull_new(verb_arg(c, ARG_PATH), verb_arg(c, ARG_PULL_DRY).n > 0,
                           verb_arg(c, ARG_PULL_PROVE).n > 0);
}

enum result
import_run(struct verb_call *c, struct span name, struct import_restore *restore,
           struct fault *f)
{
    struct mail_user *user;
    if (account_of(c, name, &user, f) != R_OK)
        return R_FAIL;
    uint64_t account = account_id(mail_user_account(user));
    if (claim_wait(account, f) != R_OK) {
        mail_user_close(&user);
        return R_FAIL;
    }
    struct import im = {.call = c,
                        .user = user,
                        .restore = restore,
                        .pull = pull_of(c, restore),
                        .arena = arena_new(),
                        .mailbox_arena = arena_new()};
    im.deferred_end = &im.deferred;
    buf_init(&im.notes, NOTES_MAX);
    import_names_init(&im.names, im.arena);
    enum result r = import_or_restore(&im, f);
    import_names_done(&im.names);
    buf_done(&im.notes);
    import_pull_free(&im.pull);
    arena_free(&im.mailbox_arena);
    arena_free(&im.arena);
    must(claim(account, 0) == R_OK);
    mail_user_close(&user);
    return r;
}

enum result
verb_import(struct verb_call *c, struct fault *f)
{
    return import_run(c, verb_arg(c, ARG_USER), NULL, f);
}
