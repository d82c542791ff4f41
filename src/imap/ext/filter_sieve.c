// FILTER=SIEVE (draft-bosch-imap-filter-sieve-00): FILTER and UID FILTER run Sieve scripts over messages of the own mailbox that
// is selected. Scripts other than those of a delivery: only where users have scripts at all (section 8), by ManageSieve.
#include "imap/event.h"

#include "imap/response.h"
#include "imap/search.h"
#include "io/task.h"

static const struct {
    const char *word;
    enum filter_which which;
} kinds[] = {{"DELIVERY", FILTER_DELIVERY},
             {"PERSONAL", FILTER_PERSONAL},
             {"GLOBAL", FILTER_GLOBAL},
             {"SCRIPT", FILTER_SCRIPT}};

// "SIEVE PERSONAL name ", up to the search keys.
static enum result
parse_filter(struct imap_command *c, struct filter_occasion *o, struct fault *f)
{
    struct parse *p = &c->parse;
    size_t i = 0, n = sizeof kinds / sizeof kinds[0];
    parse_sp(p);
    if (!parse_try_word(p, "SIEVE"))
        parse_fail(p, "SIEVE expected");
    parse_sp(p);
    while (i < n && !parse_try_word(p, kinds[i].word))
        i++;
    if (i == n || p->bad) {
        parse_fail(p, "DELIVERY, PERSONAL, GLOBAL or SCRIPT expected");
        return parse_end(p, f);
    }
    o->which = kinds[i].which;
    parse_sp(p);
    if (o->which == FILTER_DELIVERY)
        return R_OK;
    o->script = o->which == FILTER_SCRIPT ? parse_string(p) : parse_astring(p);
    parse_sp(p);
    return R_OK;
}

static enum result
allowed(const struct imap_command *c, const struct filter_occasion *o, struct fault *f)
{
    const struct imap_session *s = c->session;
    if (view_account(s->view) != mail_user_account(s->user))
        return fault_set(f, FAULT_NOPERM, "the mailbox is somebody else's");
    if (o->which != FILTER_DELIVERY && !imap_sieve_listens())
        return fault_set(f, FAULT_NOPERM, "users have no scripts here");
    if (imap_enabled(s, ENABLE_UIDONLY))
        return fault_set(f, FAULT_CANNOT, "FILTERED has message numbers");
    return R_OK;
}

static void
put_text(struct buf *b, const char *word, struct span text)
{
    buf_printf(b, "%s {%zu}\r\n", word, text.n);
    buf_put(b, text);
}

// Section 3.4.
static void
tell_problem(struct imap_command *c, const struct fault *f)
{
    struct buf *b = imap_line(c->session);
    buf_printf(b, "* FILTER (TAG \"%.*s\") ", SPAN_ARG(c->tag));
    put_text(b, "ERRORS", span_str(f->why));
    imap_line_send(c->session);
}

// Section 3.3.
static void
tell_filtered(struct imap_command *c, uint32_t seq, uint32_t uid, struct span problem)
{
    struct buf *b = imap_line(c->session);
    buf_printf(b, "* %u FILTERED (TAG \"%.*s\") ", seq, SPAN_ARG(c->tag));
    if (c->uid)
        buf_printf(b, "UID %u ", uid);
    if (problem.n > 0)
        put_text(b, "ERRORS", problem);
    else
        buf_put_str(b, "OK");
    imap_line_send(c->session);
}

static enum result
run_one(struct imap_command *c, struct filter_stored *x, uint32_t seq, uint32_t uid,
        struct fault *f)
{
    struct buf problem;
    buf_init(&problem, 4096);
    enum result r = filter_stored_run(x, uid, SPAN(""), &problem, f);
    if (r == R_FAIL && f->kind != FAULT_LIMIT && problem.n == 0)
        buf_printf(&problem, "%s\r\n", f->why);
    bool done = r == R_OK || (r == R_FAIL && f->kind != FAULT_LIMIT);
    if (done)
        tell_filtered(c, seq, uid, buf_span(&problem));
    buf_done(&problem);
    task_yield();
    return done || r == R_NONE ? R_OK : R_FAIL;
}

static enum result
run_all(struct imap_search *s, struct filter_stored *x, struct fault *f)
{
    struct seqset_iter i = {0}, k = {0};
    uint64_t done = 0, goal = seqset_size(&s->uids);
    uint32_t seq, uid;
    while (seqset_next(&s->seqs, &i, &seq) && seqset_next(&s->uids, &k, &uid)) {
        if (imap_goes_on(s->c->session, s->c->session->view, f) != R_OK)
            return R_FAIL;
        if (run_one(s->c, x, seq, uid, f) != R_OK)
            return R_FAIL;
        imap_progress(s->c, ++done, goal);
    }
    return R_OK;
}

static enum result
filter(struct imap_search *s, const struct filter_occasion *o, struct fault *f)
{
    struct imap_session *session = s->c->session;
    struct filter_stored *x = NULL;
    struct view_info info;
    view_info(session->view, &info);
    const struct mailbox_ref ref = {session->user, view_account(session->view),
                                    info.mailbox, info.rights};
    enum result r = filter_stored_open(&ref, o, &x, f);
    if (r == R_NONE)
        return fault_set(f, FAULT_UNAVAILABLE, "scripts do not run here");
    if (r != R_OK) {
        tell_problem(s->c, f);
        return R_FAIL;
    }
    r = run_all(s, x, f);
    filter_stored_close(&x);
    return r;
}

static enum result
filter_run(struct imap_command *c, struct fault *f)
{
    struct imap_search s = {.c = c};
    struct filter_occasion o = {.cause = FILTER_ASKED,
                                .user = mail_user_name(c->session->user)};
    c->own = &s;
    if (parse_filter(c, &o, f) != R_OK)
        return R_FAIL;
    if (parse_try_word(&c->parse, "RETURN"))
        parse_fail(&c->parse, "FILTER has no RETURN");
    if (imap_search_parse_arguments(&s, &c->parse, f) != R_OK || allowed(c, &o, f) != R_OK)
        return R_FAIL;
    enum result r = imap_search_find(&s, f);
    return r == R_OK ? filter(&s, &o, f) : R_FAIL;
}

static const struct imap_verb verbs[] = {
    {"FILTER", ARGS_OWN, IMAP_SELECTED, VERB_SEQ | VERB_UID | VERB_CHANGES, RIGHT_READ,
     filter_run},
    {0},
};

const struct imap_ext imap_ext_filter_sieve = {
    .name = "filter_sieve",
    .rfc = "RFC 5228, draft-bosch-imap-filter-sieve-00",
    .capability = "FILTER=SIEVE",
    .verbs = verbs,
};
