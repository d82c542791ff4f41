// RFC 8474: ids that stay: MAILBOXID, EMAILID, THREADID. A letter says what it is an id of: all kinds share one space.
#include "imap/fetch.h"
#include "imap/response.h"
#include "imap/search.h"
#include "imap/status.h"
#include "imap/tree.h"

static void
put_id(struct buf *b, char kind, uint64_t id)
{
    char text[MAIL_ID_TEXT];
    mail_id_text(kind, id, text);
    buf_printf(b, "(%s)", text);
}

static enum result
on_select(struct imap_command *c, const struct view_info *v, struct fault *f)
{
    struct buf *b = imap_line(c->session);
    (void)f;
    buf_put_str(b, "* OK [MAILBOXID ");
    put_id(b, 'M', v->mailbox);
    buf_put_str(b, "] ");
    buf_put_str(b, imap_text(c->session->language, "Mailbox"));
    imap_line_send(c->session);
    return R_OK;
}

void
imap_created_answer(struct imap_command *c, const struct mailbox_ref *ref)
{
    buf_put_str(&c->answer, "[MAILBOXID ");
    put_id(&c->answer, 'M', ref->mailbox);
    buf_put_str(&c->answer, "] ");
    buf_put_str(&c->answer, imap_text(c->session->language, "Created"));
}

static void
status_put(struct buf *b, const struct tree_entry *e)
{
    put_id(b, 'M', e->mailbox);
}

static enum result
put_emailid(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("EMAILID "));
    put_id(run->line, 'E', run->message->row.emailid);
    return R_OK;
}

static enum result
put_threadid(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("THREADID "));
    put_id(run->line, 'T', run->message->row.threadid);
    return R_OK;
}

static void
parse_emailid(struct imap_search *s, struct parse *p, struct query *q)
{
    (void)s;
    parse_sp(p);
    q->number = mail_id_from('E', parse_atom(p));
}

static void
parse_threadid(struct imap_search *s, struct parse *p, struct query *q)
{
    (void)s;
    parse_sp(p);
    q->number = mail_id_from('T', parse_atom(p));
}

static const struct imap_fetch_item emailid = {0, NULL, put_emailid},
                                    threadid = {0, NULL, put_threadid};
static const struct imap_status_item mailboxid = {.put = status_put};
static const struct imap_search_key by_email = {QUERY_EMAILID, false, 0, parse_emailid},
                                    by_thread = {QUERY_THREADID, false, 0, parse_threadid};

static const struct imap_word words[] = {
    {SLOT_FETCH, "EMAILID", 0, {.fetch = &emailid}},
    {SLOT_FETCH, "THREADID", 0, {.fetch = &threadid}},
    {SLOT_STATUS, "MAILBOXID", 0, {.status = &mailboxid}},
    {SLOT_SEARCH, "EMAILID", 0, {.search = &by_email}},
    {SLOT_SEARCH, "THREADID", 0, {.search = &by_thread}},
    {0},
};

const struct imap_ext imap_ext_objectid = {
    .name = "objectid",
    .rfc = "RFC 8474",
    .capability = "OBJECTID",
    .words = words,
    .on_select = on_select,
};
