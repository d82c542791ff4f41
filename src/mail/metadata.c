#include "mail/metadata_log.h"

#include "base/arena_grow.h"
#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/mount.h"
#include "mail/tree.h"

static const struct span specialuse = SPAN("/private/specialuse");

// ---- names ----

static bool
octet_good(char c)
{
    return (unsigned char)c > 0x1F && (unsigned char)c < 0x7F && c != '*' && c != '%';
}

static bool
octets_good(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!octet_good(name.p[i]) ||
            (name.p[i] == '/' && (i + 1 == name.n || name.p[i + 1] == '/')))
            return false;
    return true;
}

static size_t
components(struct span name)
{
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++)
        n += name.p[i] == '/';
    return n;
}

// RFC 5464 section 3.2: at least two components, four in a vendor's name space.
static bool
deep_enough(struct span name)
{
    bool vendor = span_within(name, SPAN("/shared/vendor")) ||
                  span_within(name, SPAN("/private/vendor"));
    return components(name) >= (vendor ? 4 : 2);
}

enum result
metadata_name(struct arena *a, struct span given, bool root, struct span *out)
{
    if (given.n > LIMIT_metadata_name || !octets_good(given))
        return R_FAIL;
    char *lower = arena_alloc(a, given.n);
    for (size_t i = 0; i < given.n; i++)
        lower[i] = ascii_lower(given.p[i]);
    struct span name = span_of(lower, given.n);
    if (!span_within(name, SPAN("/shared")) && !span_within(name, SPAN("/private")))
        return R_FAIL;
    if (!root && !deep_enough(name))
        return R_FAIL;
    *out = name;
    return R_OK;
}

static bool
is_private(struct span name)
{
    return span_starts(name, SPAN("/private"));
}

enum { PRIVATE_N = 8, USER_N = 17 };  // "/private", ":0123456789abcdef"

struct span
metadata_key(struct arena *a, uint64_t user, struct span name)
{
    struct buf b;
    if (!is_private(name))
        return name;
    buf_init(&b, LIMIT_meta_key);
    buf_printf(&b, "/private:%016llx", (unsigned long long)user);
    buf_put(&b, span_skip(name, PRIVATE_N));
    struct span key = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return key;
}

struct span
metadata_key_name(struct arena *a, uint64_t user, struct span key)
{
    char own[PRIVATE_N + USER_N + 1];
    if (span_starts(key, SPAN("/shared/")))
        return key;
    snprintf(own, sizeof own, "/private:%016llx", (unsigned long long)user);
    if (!span_starts(key, span_of(own, PRIVATE_N + USER_N)))
        return SPAN_NONE;
    char *name = arena_alloc(a, key.n - USER_N);
    memcpy(name, key.p, PRIVATE_N);
    memcpy(name + PRIVATE_N, key.p + PRIVATE_N + USER_N, key.n - PRIVATE_N - USER_N);
    return span_of(name, key.n - USER_N);
}

// ---- places ----

bool
metadata_may(uint32_t rights)
{
    return rights & (RIGHT_READ | RIGHT_SEEN | RIGHT_WRITE | RIGHT_INSERT | RIGHT_POST);
}

static struct span
prefix_of(struct mail_user *u, const struct account *a)
{
    for (const struct mount *m = &u->own; m; m = m->next)
        if (m->account == a)
            return m->prefix;
    return SPAN_NONE;
}

enum result
metadata_place(struct mail_user *u, struct span name, struct metadata_place *out,
               struct fault *f)
{
    struct mailbox_ref ref = {u, mail_user_account(u), 0, RIGHTS_ALL};
    if (name.n > 0 && mail_access(u, name, 0, &ref, f) != R_OK)
        return R_FAIL;
    if (!metadata_may(ref.rights))
        return fault_set(f, FAULT_NOPERM, "no right to the mailbox's entries");
    *out = (struct metadata_place){u,
                                   ref.account,
                                   prefix_of(u, ref.account),
                                   ref.mailbox,
                                   account_id(mail_user_account(u)),
                                   ref.rights};
    return R_OK;
}

static bool
is_use(const struct metadata_place *p, struct span name)
{
    return p->mailbox != 0 && span_eq(name, specialuse);
}

// ---- reading ----

// What was asked for may be gone: a client that reads slowly is waited for between two entries.
static bool
still_readable(const struct metadata_place *p)
{
    const struct mailbox_ref ref = {p->by, p->account, p->mailbox, p->rights};
    return p->mailbox == 0 || (state_mailbox(account_state(p->account), p->mailbox) &&
                               metadata_may(ref_rights(&ref)));
}

struct get_call {
    const struct metadata_place *place;
    struct span name;
    uint32_t max;
    struct arena *arena;
    struct metadata_value *value;
    enum result result;
};

static void
give(struct get_call *c, struct span octets)
{
    c->value->size = octets.n;
    c->value->octets = octets.n > c->max ? SPAN_NONE : arena_dup(c->arena, octets);
    if (octets.n == 0)
        c->value->octets = SPAN("");
    c->result = R_OK;
}

static void
get_use(struct get_call *c)
{
    const struct mailbox_state *m =
        state_mailbox(account_state(c->place->account), c->place->mailbox);
    if (m && m->special_use != USE_NONE)
        give(c, span_str(special_use_text(m->special_use)));
}

// A stored value begins with one octet, so that "" is not the removal of the entry.
static void
get_run(void *arg)
{
    struct get_call *c = arg;
    struct span key = metadata_key(c->arena, c->place->user, c->name), stored;
    if (!still_readable(c->place))
        c->result = R_FAIL;
    else if (is_use(c->place, c->name))
        get_use(c);
    else if (state_meta_find(account_state(c->place->account), c->place->mailbox, key,
                             &stored) == R_OK)
        give(c, span_skip(stored, 1));
}

// ---- what is set for the server ----

typedef void setting_fn(struct span name, struct span value, void *arg);

static void
each_row(struct arena *a, struct span root, const char *const *rows, size_t n,
         setting_fn *fn, void *arg)
{
    for (size_t i = 0; i < n; i++) {
        struct span row = span_str(rows[i]), name;
        size_t blank = span_find_char(row, ' ');
        char *text = arena_alloc(a, root.n + blank);
        memcpy(text, root.p, root.n);
        memcpy(text + root.n, row.p, blank);
        if (metadata_name(a, span_of(text, root.n + blank), false, &name) == R_OK)
            fn(name, span_trim(span_skip(row, blank)), arg);
    }
}

static void
each_setting(const struct metadata_place *p, struct arena *a, setting_fn *fn, void *arg)
{
    const struct mail_entries *e = mail_entries(account_mail(p->account));
    if (e->comment && e->comment[0])
        fn(SPAN("/shared/comment"), span_str(e->comment), arg);
    if (e->admin && e->admin[0])
        fn(SPAN("/shared/admin"), span_str(e->admin), arg);
    if (e->imapsieve_script && e->imapsieve_script[0])
        fn(SPAN("/shared/imapsieve/script"), span_str(e->imapsieve_script), arg);
    each_row(a, SPAN("/shared/filters/values/"), e->filters, e->filter_count, fn, arg);
    each_row(a, SPAN("/shared/filters/descriptions/"), e->descriptions,
             e->description_count, fn, arg);
}

static void
give_setting(struct span name, struct span value, void *arg)
{
    struct get_call *c = arg;
    if (span_eq(name, c->name))
        give(c, value);
}

enum result
metadata_get(const struct metadata_place *p, struct span name, uint32_t max,
             struct arena *a, struct metadata_value *out)
{
    struct get_call c = {p, name, max, a, out, R_NONE};
    if (p->mailbox == 0 && !is_private(name))
        each_setting(p, a, give_setting, &c);
    else
        account_run(p->account, get_run, &c);
    return c.result;
}

struct below_call {
    const struct metadata_place *place;
    struct span above;
    bool deep;
    struct arena *arena;
    struct span *names;
    size_t n, room;
    enum result result;
};

static void
below_add(struct below_call *c, struct span name)
{
    struct span rest = span_skip(name, c->above.n + 1);
    if (name.n <= c->above.n || !span_within(name, c->above) ||
        (!c->deep && span_find_char(rest, '/') < rest.n))
        return;
    c->names = arena_grow(c->arena, c->names, c->n, &c->room, sizeof *c->names);
    c->names[c->n++] = arena_dup(c->arena, name);
}

static void
below_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct below_call *c = arg;
    (void)value;
    if (mailbox != c->place->mailbox || key.p[0] != '/')
        return;
    struct span name = metadata_key_name(c->arena, c->place->user, key);
    if (name.p)
        below_add(c, name);
}

static void
below_run(void *arg)
{
    struct below_call *c = arg;
    struct state *s = account_state(c->place->account);
    const struct mailbox_state *m = state_mailbox(s, c->place->mailbox);
    c->result = still_readable(c->place) ? R_OK : R_FAIL;
    if (c->result != R_OK)
        return;
    state_meta_each(s, below_each, c);
    if (m && m->special_use != USE_NONE)
        below_add(c, specialuse);
}

static void
below_setting(struct span name, struct span value, void *arg)
{
    (void)value;
    below_add(arg, name);
}

static int
span_order(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

enum result
metadata_below(const struct metadata_place *p, struct span name, bool deep, struct arena *a,
               struct span **names_out, size_t *n_out)
{
    struct below_call c = {.place = p, .above = name, .deep = deep, .arena = a};
    account_run(p->account, below_run, &c);
    if (c.result != R_OK)
        return R_FAIL;
    if (p->mailbox == 0)
        each_setting(p, a, below_setting, &c);
    if (c.n > 0)
        qsort(c.names, c.n, sizeof *c.names, span_order);
    *names_out = c.names;
    *n_out = c.n;
    return R_OK;
}
