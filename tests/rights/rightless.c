// The control of the matrix of rights: a server in which everybody has all rights on everything. It is made of the same
// objects as the server and of this file (-Wl,--wrap=acl_decide), in sanitizer builds alone, and is never installed.
#include "mail/acl.h"

uint32_t __wrap_acl_decide(const struct acl_who *who, const struct acl_where *where,
                           const struct acl_list *list);

uint32_t
__wrap_acl_decide(const struct acl_who *who, const struct acl_where *where,
                  const struct acl_list *list)
{
    (void)who, (void)where, (void)list;
    return RIGHTS_ALL;
}
