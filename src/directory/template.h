#ifndef DIRECTORY_TEMPLATE_H
#define DIRECTORY_TEMPLATE_H

// A template is a query of the settings with variables of a user's name in it: %u the whole name, %n its part before '@',
// %d the part behind it, %% a per cent sign.
// Trust: the template is the administrator's; a name becomes a bound parameter (SQL) or an escaped value (LDAP), never
// part of the query. Threads: any.

#include "base/buf.h"

enum template_var { TEMPLATE_USER, TEMPLATE_LOCAL, TEMPLATE_DOMAIN, TEMPLATE_VARS };

struct span template_value(enum template_var v, struct span name);
// Is %u or %d in it?
bool template_has_domain(struct span text);

// The parameters of a query, in their order: "?1" or "$1" is order[0].
struct template_params {
    enum template_var order[TEMPLATE_VARS];
    size_t n;
};

// SQL with parameters (`sign` is '?' or '$') in place of variables, also of those in string literals: '%n@example.org' becomes
// ($1 || '@example.org'). FAULT_BAD: a variable that is none, or one where no value can stand (a quoted identifier, a comment,
// a literal with a prefix).
enum result template_sql(struct span text, char sign, struct buf *out,
                         struct template_params *params_out, struct fault *f) MUST_CHECK;

// A filter of LDAP, values escaped as RFC 4515 section 3 says. FAULT_BAD.
enum result template_ldap_filter(struct span text, struct span name, struct buf *out,
                                 struct fault *f) MUST_CHECK;

// The assertions (ATTRIBUTE=%u), (ATTRIBUTE=%n) and (ATTRIBUTE=%n@%d) of a filter: what such an attribute holds is a user's
// own name, or the part of it before '@'. None where the filter has no such assertion.
enum { TEMPLATE_NAMES_MAX = 4, TEMPLATE_ATTRIBUTE = 64 };
struct template_names {
    size_t n;
    struct template_name {
        char attribute[TEMPLATE_ATTRIBUTE];
        bool whole;  // else the part before '@'
    } list[TEMPLATE_NAMES_MAX];
};
void template_ldap_names(struct span filter, struct template_names *out);

#endif
