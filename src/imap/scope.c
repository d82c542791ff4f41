#include "imap/scope.h"

#include "base/limits.h"

// INBOXES are what mail may be delivered to: any mailbox, by its detail address (RFC 5465 section 6.3).
static const struct {
    const char *word;
    enum imap_scope_kind kind;
} kinds[] = {
    {"PERSONAL", SCOPE_PERSONAL},     {"INBOXES", SCOPE_PERSONAL},
    {"SUBSCRIBED", SCOPE_SUBSCRIBED}, {"SUBTREE", SCOPE_SUBTREE},
    {"MAILBOXES", SCOPE_MAILBOXES},   {"SUBTREE-ONE", SCOPE_SUBTREE_ONE},
};

void
imap_scope_charge(struct imap_command *c, struct imap_scope_size *size, size_t names,
                  size_t octets)
{
    size->names += names;
    size->octets += octets;
    if (size->names > LIMIT_notify_names || size->octets > LIMIT_notify_octets)
        parse_fail_kind(&c->parse, size->over, "too many mailboxes in one command");
}

// A name that no mailbox can have is passed over, as one is that no mailbox has (RFC 5465 section 3.1).
static void
name_parse(struct imap_command *c, struct imap_scope_size *size, struct buf *names)
{
    struct fault f;
    struct span name = parse_list_mailbox(&c->parse);
    imap_scope_charge(c, size, 1, name.n + 2);
    if (c->parse.bad || mail_name_check(c->arena, name, &name, &f) != R_OK)
        return;
    name = mail_name_canonical(c->arena, name);
    buf_put_char(names, (char)(name.n >> 8));
    buf_put_char(names, (char)(name.n & 255));
    buf_put(names, name);
}

static struct span
names_parse(struct imap_command *c, struct arena *a, struct imap_scope_size *size)
{
    struct parse *p = &c->parse;
    struct buf names;
    buf_init(&names, LIMIT_notify_octets * 2);
    parse_sp(p);
    bool list = parse_try(p, '(');
    do
        name_parse(c, size, &names);
    while (list && parse_try(p, ' '));
    if (list)
        parse_char(p, ')');
    struct span all = arena_dup(a, buf_span(&names));
    buf_done(&names);
    return all;
}

void
imap_scope_parse(struct imap_command *c, struct span word, struct arena *a,
                 struct imap_scope_size *size, struct imap_scope *out)
{
    size_t i = 0, n = sizeof kinds / sizeof kinds[0];
    while (i < n && !span_ieq(word, span_str(kinds[i].word)))
        i++;
    if (i == n) {
        parse_fail(&c->parse, "unknown mailbox specifier");
        return;
    }
    *out = (struct imap_scope){.kind = kinds[i].kind};
    if (out->kind >= SCOPE_SUBTREE)
        out->names = names_parse(c, a, size);
}

static bool
name_covers(enum imap_scope_kind kind, struct span named, struct span name)
{
    if (kind == SCOPE_MAILBOXES || !span_within(name, named))
        return span_eq(name, named);
    struct span below = span_skip(name, named.n + 1);
    return kind == SCOPE_SUBTREE || span_find_char(below, '/') == below.n;
}

bool
imap_scope_covers(const struct imap_scope *s, const struct tree_entry *e, struct span name)
{
    struct span rest = s->names;
    if (s->kind == SCOPE_PERSONAL)
        return !e->foreign;
    if (s->kind == SCOPE_SUBSCRIBED)
        return e->subscribed;
    while (rest.n >= 2) {
        size_t n = (size_t)(unsigned char)rest.p[0] << 8 | (unsigned char)rest.p[1];
        if (name_covers(s->kind, span_slice(rest, 2, 2 + n), name))
            return true;
        rest = span_skip(rest, 2 + n);
    }
    return false;
}
