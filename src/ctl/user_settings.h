#ifndef CTL_USER_SETTINGS_H
#define CTL_USER_SETTINGS_H

// What `posthorn user set` has set for one user, taken apart, and set one by one: what export, import and restore carry of it. A value
// is written as that verb takes it. Rows of the user database are auth's, limits of quota and the retention the account's own.
// All suspend.

#include "ctl/verb.h"
#include "mail/account.h"

struct user_setting {
    struct span name, value;
};
struct user_settings {
    struct user_setting *list;
    size_t n;
};

// In the arena. A user of an outer database has none there.
enum result user_settings_get(struct verb_call *c, struct account *a, struct arena *arena,
                              struct user_settings *out, struct fault *f) MUST_CHECK;
// R_NONE: it is so already. FAULT_ALREADYEXISTS: it is set to something else, which stays.
enum result user_setting_add(struct verb_call *c, struct account *a,
                             const struct user_setting *s, struct arena *arena,
                             struct fault *f) MUST_CHECK;

#endif
