// RFC 6154, with the attributes of RFC 8457 and 9979: special uses in LIST, and CREATE with USE.
#include "imap/list.h"
#include "imap/tree.h"

// "(\Sent)". A mailbox has one use here, so a second one cannot be given.
static void
use_parse(struct imap_command *c, struct parse *p)
{
    struct imap_create *create = c->own;
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p)) {
        enum special_use use = special_use_from(parse_flag(p));
        if (use == USE_NONE || create->use != USE_NONE)
            parse_fail_kind(p, FAULT_USEATTR, "special use cannot be given");
        create->use = use;
    }
}

static bool
has_special_use(const struct tree_entry *e)
{
    return e->special_use != USE_NONE && !e->nonexistent;
}

static const struct imap_param use = {use_parse, NULL};
static const struct imap_list_option select_option = {.selects = has_special_use};
static const struct imap_list_option return_option = {.selects = NULL};  // always returned

static const struct imap_word words[] = {
    {SLOT_CREATE, "USE", 0, {.param = &use}},
    {SLOT_LIST_SELECT, "SPECIAL-USE", 0, {.list = &select_option}},
    {SLOT_LIST_RETURN, "SPECIAL-USE", 0, {.list = &return_option}},
    {.name = NULL},
};

const struct imap_ext imap_ext_special_use = {
    .name = "special_use",
    .rfc = "RFC 6154, RFC 8457, RFC 9979",
    .capability = "SPECIAL-USE CREATE-SPECIAL-USE",
    .words = words,
};
