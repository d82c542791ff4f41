#include "mail/acl.h"

#include "base/keep.h"

#include <stdatomic.h>

// ---- who asks ----

struct acl_who *
acl_who_new(uint64_t account, struct span name, const struct acl_identity *more)
{
    size_t octets = name.n, at = name.n;
    for (size_t i = 0; more && i < more->group_count; i++)
        octets += more->groups[i].n;
    size_t count = more ? more->group_count : 0;
    size_t size = sizeof(struct acl_who) + count * sizeof(struct span) + octets + 1;
    struct acl_who *who = keep_new(size);
    who->size = size;
    who->groups = (struct span *)(who + 1);
    char *text = (char *)(who->groups + count);
    if (name.n > 0)
        memcpy(text, name.p, name.n);
    who->account = account;
    who->name = span_of(text, name.n);
    who->admin = more && more->admin;
    who->closed = more && more->closed;
    for (; who->group_count < count; who->group_count++) {
        struct span group = more->groups[who->group_count];
        memcpy(text + at, group.p, group.n);
        who->groups[who->group_count] = span_of(text + at, group.n);
        at += group.n;
    }
    atomic_store(&who->refs, 1);
    return who;
}

struct acl_who *
acl_who_ref(struct acl_who *who)
{
    atomic_fetch_add(&who->refs, 1);
    return who;
}

void
acl_who_unref(struct acl_who **who)
{
    if (*who && atomic_fetch_sub(&(*who)->refs, 1) == 1)
        keep_free(*who, (*who)->size);
    *who = NULL;
}

// ---- the decision ----

static bool
in_group(const struct acl_who *who, struct span group)
{
    for (size_t i = 0; i < who->group_count; i++)
        if (span_eq(who->groups[i], group))
            return true;
    return false;
}

bool
acl_is_everybody(struct span identifier)
{
    return span_eq(identifier, SPAN("anyone")) ||
           span_eq(identifier, SPAN("authenticated"));
}

static bool
means(const struct acl_who *who, bool owner, struct span identifier)
{
    if (identifier.n > 0 && identifier.p[0] == '$')
        return in_group(who, span_skip(identifier, 1));
    if (acl_is_everybody(identifier))
        return true;
    return span_eq(identifier, SPAN("owner")) ? owner : span_eq(identifier, who->name);
}

static uint32_t
from_list(const struct acl_who *who, const struct acl_where *where,
          const struct acl_list *list)
{
    uint32_t given = where->granted, taken = 0;
    bool named = false;
    for (size_t i = 0; i < list->n; i++) {
        const struct acl_entry *e = &list->p[i];
        bool negative = e->identifier.p[0] == '-';
        if (!means(who, where->owner, span_skip(e->identifier, negative)))
            continue;
        *(negative ? &taken : &given) |= e->rights;
        named |= span_eq(e->identifier, SPAN("owner"));
    }
    if (where->owner && !named)
        given = RIGHTS_ALL;
    return given & ~taken;
}

uint32_t
acl_decide(const struct acl_who *who, const struct acl_where *where,
           const struct acl_list *list)
{
    uint32_t rights = from_list(who, where, list);
    if (where->owner)
        rights |= RIGHT_LOOKUP | RIGHT_ADMIN;
    else if (who->admin && (where->common || (rights & RIGHT_LOOKUP)))
        rights = RIGHTS_ALL;
    return rights & RIGHT_LOOKUP ? rights : 0;
}

// ---- texts ----

// RFC 4314 section 2.1.1
static const struct {
    char letter;
    uint32_t members;
} virtual_rights[] = {
    {'c', RIGHT_CREATE | RIGHT_DELETE},
    {'d', RIGHT_EXPUNGE | RIGHT_DELETED},
};
enum { VIRTUAL = sizeof virtual_rights / sizeof *virtual_rights };

static enum result
one_right(char letter, uint32_t *out)
{
    for (size_t i = 0; i < VIRTUAL; i++)
        if (letter == virtual_rights[i].letter) {
            *out = virtual_rights[i].members;
            return R_OK;
        }
    return rights_from_text(span_of(&letter, 1), out);
}

enum result
acl_rights_parse(struct span letters, uint32_t *out, struct fault *f)
{
    uint32_t rights = 0, one;
    for (size_t i = 0; i < letters.n; i++) {
        if (one_right(letters.p[i], &one) != R_OK)
            return fault_set(f, FAULT_BAD, "unknown right");
        rights |= one;
    }
    *out = rights;
    return R_OK;
}

enum result
acl_change_parse(struct span text, struct acl_change *out, struct fault *f)
{
    bool plus = span_starts(text, SPAN("+")), minus = span_starts(text, SPAN("-"));
    out->op = plus ? ACL_ADD : minus ? ACL_REMOVE : ACL_SET;
    return acl_rights_parse(span_skip(text, plus || minus), &out->rights, f);
}

void
acl_rights_put(uint32_t rights, char out[ACL_TEXT])
{
    rights_to_text(rights, out);
    size_t n = strlen(out);
    for (size_t i = 0; i < VIRTUAL; i++)
        if (rights & virtual_rights[i].members)
            out[n++] = virtual_rights[i].letter;
    out[n] = '\0';
}
