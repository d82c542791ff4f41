// Mailbox names. Cleaning is final: what mail_name_check gives, it gives again. An import never sends two mailboxes to one
// name without need. Patterns of LIST match as the naive reading of RFC 9051 section 6.3.9 does.
#include "base/limits.h"
#include "ctl/import_names.h"
#include "imap/list.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
clean(struct span name, struct arena *a)
{
    struct span once, twice;
    struct fault f;
    if (mail_name_check(a, name, &once, &f) != R_OK)
        return;
    must(once.n > 0 && once.n <= LIMIT_mailbox_name && utf8_valid(once));
    must(once.p[0] != '/' && once.p[once.n - 1] != '/');
    must(mail_name_check(a, once, &twice, &f) == R_OK && span_eq(once, twice));
}

static bool
beneath(const struct import_names *n, struct span own)
{
    for (size_t i = 0; i < n->count; i++)
        if (span_istarts(n->names[i].name, own) && n->names[i].name.n > own.n)
            return true;
    return false;
}

// One mailbox of an import for each target.
static void
take(struct import_names *n, struct arena *a)
{
    for (size_t i = 0; i < n->count; i++) {
        struct span target = import_names_target(n, n->names[i].name, a);
        bool fresh = import_names_is_fresh(n, target);
        if (!import_names_take(n, target))
            continue;
        must(!fresh && !import_names_take(n, target) && !import_names_is_fresh(n, target));
        import_names_set_fresh(n, target);
        must(import_names_is_fresh(n, target));
    }
    import_names_done(n);
}

// Lines are names, behind a backslash what the source says is \\Sent; the account has these folders of its own.
static void
import(struct span lines, struct arena *a)
{
    const struct tree_entry own[] = {{.name = SPAN("INBOX")},
                                     {.name = SPAN("Sent"), .special_use = USE_SENT},
                                     {.name = SPAN("Drafts"), .special_use = USE_DRAFTS},
                                     {.name = SPAN("Trash"), .special_use = USE_TRASH}};
    struct import_names n;
    struct fault f;
    struct span line;
    import_names_init(&n, a);
    while (n.count < 80 && lines.n > 0 && span_next_field(&lines, '\n', &line) == R_OK)
        must(import_names_add(&n, span_skip(line, line.n && line.p[0] == '\\'),
                              line.n && line.p[0] == '\\' ? USE_SENT : USE_NONE,
                              &f) == R_OK);
    import_names_map(&n, own, 4);
    must(n.map_count <= 3);
    take(&n, a);
    bool met = beneath(&n, SPAN("Sent")) || beneath(&n, SPAN("Drafts")) ||
               beneath(&n, SPAN("Trash"));
    for (size_t i = 0; i < n.count && !met; i++)
        for (size_t k = 0; k < i; k++)
            must(span_eq(n.names[i].name, n.names[k].name) ||
                 !span_eq(import_names_target(&n, n.names[i].name, a),
                          import_names_target(&n, n.names[k].name, a)));
}

static bool
matches(struct span p, struct span name)
{
    if (p.n == 0)
        return name.n == 0;
    if (p.p[0] != '*' && p.p[0] != '%')
        return name.n > 0 && name.p[0] == p.p[0] &&
               matches(span_skip(p, 1), span_skip(name, 1));
    if (matches(span_skip(p, 1), name))
        return true;
    return name.n > 0 && (p.p[0] == '*' || name.p[0] != '/') &&
           matches(p, span_skip(name, 1));
}

static void
pattern(struct span in, struct arena *a)
{
    size_t cut = span_find_char(in, '\n');
    struct span p = span_slice(in, 0, cut), name = span_skip(in, cut + 1);
    if (p.n > 10 || name.n > 30)  // naive
        return;
    struct list_pattern *compiled = list_pattern_new(a, p);
    bool inbox = span_istarts(p, SPAN("inbox")) || span_istarts(name, SPAN("inbox"));
    must(compiled != NULL &&
         (inbox || list_pattern_match(compiled, name) == matches(p, name)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct span in = span_of(data, size);
    clean(in, a);
    import(in, a);
    pattern(in, a);
    arena_free(&a);
    return 0;
}
