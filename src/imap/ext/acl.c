// RFC 4314: who may do what with a mailbox. RFC 8440: LIST RETURN (MYRIGHTS).
#include "imap/list.h"
#include "imap/response.h"
#include "mail/acl.h"
#include "wire/quote.h"

enum { FLUSH_AT = 16384 };

// ---- answers ----

static void
put_rights(struct buf *b, uint32_t rights)
{
    char text[ACL_TEXT];
    acl_rights_put(rights, text);
    buf_put_char(b, ' ');
    quote_astring(b, span_str(text), false);
}

static struct buf *
begin(struct imap_session *s, const char *what, struct span mailbox)
{
    struct buf *b = imap_line(s);
    buf_printf(b, "* %s ", what);
    imap_put_mailbox(s, b, mailbox);
    return b;
}

static void
put_identifier(const struct imap_session *s, struct buf *b, struct span identifier)
{
    buf_put_char(b, ' ');
    quote_astring(b, identifier, imap_utf8(s));
}

// ---- SETACL, DELETEACL ----

static struct span
parse_identifier(struct imap_command *c)
{
    parse_sp(&c->parse);
    return parse_astring(&c->parse);
}

static enum result
run_set(struct imap_command *c, struct fault *f)
{
    struct acl_change change = {.op = ACL_SET};
    struct span identifier = parse_identifier(c);
    parse_sp(&c->parse);
    struct span rights = parse_astring(&c->parse);
    if (parse_end(&c->parse, f) != R_OK || acl_change_parse(rights, &change, f) != R_OK ||
        acl_identifier(c->arena, identifier, &change.identifier, f) != R_OK)
        return R_FAIL;
    return acl_change(&c->ref, &change, f);
}

static enum result
run_delete(struct imap_command *c, struct fault *f)
{
    struct acl_change change = {.op = ACL_DELETE};
    struct span identifier = parse_identifier(c);
    if (parse_end(&c->parse, f) != R_OK ||
        acl_identifier(c->arena, identifier, &change.identifier, f) != R_OK)
        return R_FAIL;
    return acl_change(&c->ref, &change, f);
}

// ---- GETACL, LISTRIGHTS, MYRIGHTS ----

static enum result
run_get(struct imap_command *c, struct fault *f)
{
    struct acl_list list;
    if (acl_get(&c->ref, c->arena, &list, f) != R_OK)
        return R_FAIL;
    struct buf *b = begin(c->session, "ACL", c->name);
    for (size_t i = 0; i < list.n; i++) {
        put_identifier(c->session, b, list.p[i].identifier);
        put_rights(b, list.p[i].rights);
        if (b->n > FLUSH_AT)
            imap_line_flush(c->session);
    }
    imap_line_send(c->session);
    return R_OK;
}

// Each right apart: none are tied. c and d stand by themselves (section 2.1.1).
static enum result
run_list(struct imap_command *c, struct fault *f)
{
    struct span given = parse_identifier(c), identifier;
    if (parse_end(&c->parse, f) != R_OK ||
        acl_identifier(c->arena, given, &identifier, f) != R_OK)
        return R_FAIL;
    uint32_t always = acl_always(&c->ref, identifier);
    char text[12];
    struct buf *b = begin(c->session, "LISTRIGHTS", c->name);
    put_identifier(c->session, b, given);
    put_rights(b, always);
    rights_to_text(RIGHTS_ALL & ~always, text);
    for (size_t i = 0; text[i]; i++)
        buf_printf(b, " %c", text[i]);
    buf_put_str(b, " c d");
    imap_line_send(c->session);
    return R_OK;
}

static void
send_mine(struct imap_session *s, struct span mailbox, uint32_t rights)
{
    put_rights(begin(s, "MYRIGHTS", mailbox), rights);
    imap_line_send(s);
}

static enum result
run_mine(struct imap_command *c, struct fault *f)
{
    (void)f;
    send_mine(c->session, c->name, c->ref.rights);
    return R_OK;
}

// ---- LIST RETURN (MYRIGHTS) ----

static enum result
put_mine(struct imap_command *c, const struct tree_entry *e, struct fault *f)
{
    (void)f;
    if (e->mailbox != 0 && !e->nonexistent)
        send_mine(c->session, e->name, e->rights);
    return R_OK;
}

static const struct imap_list_option mine = {.put = put_mine};

static const struct imap_word words[] = {
    {SLOT_LIST_RETURN, "MYRIGHTS", 0, {.list = &mine}},
    {.name = NULL},
};

static const struct imap_verb verbs[] = {
    {"SETACL", ARGS_MAILBOX_MORE, IMAP_ANY, 0, RIGHT_ADMIN, run_set},
    {"DELETEACL", ARGS_MAILBOX_MORE, IMAP_ANY, 0, RIGHT_ADMIN, run_delete},
    {"GETACL", ARGS_MAILBOX, IMAP_ANY, VERB_READS, RIGHT_ADMIN, run_get},
    {"LISTRIGHTS", ARGS_MAILBOX_MORE, IMAP_ANY, VERB_READS, RIGHT_ADMIN, run_list},
    {"MYRIGHTS", ARGS_MAILBOX, IMAP_ANY, VERB_READS, RIGHT_LOOKUP, run_mine},
    {.name = NULL},
};

const struct imap_ext imap_ext_acl = {
    .name = "acl",
    .rfc = "RFC 4314, RFC 8440",
    .capability = "ACL RIGHTS=texk LIST-MYRIGHTS",
    .verbs = verbs,
    .words = words,
};
