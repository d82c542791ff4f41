// CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE: RFC 9051 sections 6.3.4 to 6.3.8. The rights on parents and on the
// two names of RENAME are checked by mail/tree.
#include "imap/tree.h"
#include "imap/list.h"
#include "imap/response.h"

bool
imap_name_changed(struct imap_command *c, struct span name, struct span given)
{
    struct span clean;
    struct fault f;
    return imap_enabled(c->session, ENABLE_REV2) &&
           mail_name_check(c->arena, name, &clean, &f) == R_OK && !span_eq(clean, given);
}

enum result
imap_oldname_send(struct imap_command *c, struct span name, struct span old,
                  struct fault *f)
{
    struct tree_entry e;
    if (mail_name_check(c->arena, name, &name, f) != R_OK)
        return R_FAIL;
    tree_find(c->session->user, c->arena, name, &e);
    imap_list_send(c->session, &e, old);
    return R_OK;
}

static enum result
run_create(struct imap_command *c, struct fault *f)
{
    struct imap_create create = {.use = USE_NONE};
    struct mailbox_ref ref;
    c->own = &create;
    if (parse_try(&c->parse, ' '))
        imap_params_parse(c, &c->parse, SLOT_CREATE);
    if (parse_end(&c->parse, f) != R_OK || imap_params_begin(c, f) != R_OK ||
        tree_create(c->session->user, c->name, create.use, &ref, f) != R_OK)
        return R_FAIL;
    imap_created_answer(c, &ref);
    if (!imap_name_changed(c, c->name, c->spelled))
        return R_OK;
    return imap_oldname_send(c, c->name, c->spelled, f);
}

static enum result
run_delete(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    if (tree_delete(s->user, c->name, f) != R_OK)
        return R_FAIL;
    if (s->view && view_gone(s->view)) {
        imap_unselect(s);
        imap_untagged(s, "OK [CLOSED] The selected mailbox was deleted");
    }
    if (!imap_name_changed(c, c->name, c->name))
        return R_OK;
    return imap_oldname_send(c, c->name, c->spelled, f);
}

static enum result
run_rename(struct imap_command *c, struct fault *f)
{
    parse_sp(&c->parse);
    struct span to = parse_mailbox(&c->parse);
    struct span spelled = c->parse.spelled;
    if (parse_end(&c->parse, f) != R_OK ||
        tree_rename(c->session->user, c->name, to, f) != R_OK)
        return R_FAIL;
    if (!imap_name_changed(c, c->name, c->name) && !imap_name_changed(c, to, spelled))
        return R_OK;
    return imap_oldname_send(c, to, c->spelled, f);
}

static enum result
run_subscribe(struct imap_command *c, struct fault *f)
{
    return tree_subscribe(c->session->user, c->name, true, f);
}

static enum result
run_unsubscribe(struct imap_command *c, struct fault *f)
{
    return tree_subscribe(c->session->user, c->name, false, f);
}

static const struct imap_verb verbs[] = {
    {"CREATE", ARGS_NAME_MORE, IMAP_ANY, 0, 0, run_create},
    {"DELETE", ARGS_NAME, IMAP_ANY, 0, 0, run_delete},
    {"RENAME", ARGS_NAME_MORE, IMAP_ANY, 0, 0, run_rename},
    {"SUBSCRIBE", ARGS_NAME, IMAP_ANY, 0, 0, run_subscribe},
    {"UNSUBSCRIBE", ARGS_NAME, IMAP_ANY, 0, 0, run_unsubscribe},
    {.name = NULL},
};

const struct imap_ext imap_ext_tree = {
    .name = "tree",
    .rfc = "RFC 9051",
    .verbs = verbs,
};
