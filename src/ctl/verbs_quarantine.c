// posthorn quarantine: what scanners kept from its recipients.
#include "ctl/verbs.h"
#include "base/hex.h"
#include "mail/quarantine.h"

#include <time.h>

static void
put_when(char text[32], int64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm tm;
    localtime_r(&at, &tm);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
}

static void
print(struct verb_call *c, const struct quarantine_entry *e)
{
    char when[32];
    put_when(when, e->since_s);
    verb_row(c, "quarantined",
             FIELDS(field_id("id", "%", e->id), field_str("since", "\t%", when),
                    field_text("user", "\t%", e->user),
                    field_text("from", "\tfrom <%>", e->from),
                    field_text("to", " to <%>", e->to),
                    field_number("octets", "\t% octets", e->octets),
                    field_text("reason", "\t%", e->reason)));
}

enum result
verb_quarantine_list(struct verb_call *c, struct fault *f)
{
    struct quarantine_entry *all;
    struct buf user;
    uint64_t account = 0;
    size_t n;
    buf_init(&user, SIZE_MAX);
    struct arena *a = arena_new();
    enum result r = R_OK;
    if (verb_arg_count(c) > 0)
        r = verb_find_user(c, verb_arg(c, 0), &account, &user, f);
    if (r == R_OK)
        r = quarantine_list(verb_host(c)->mail, account, a, &all, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        print(c, &all[i]);
    if (r == R_OK)
        verb_row(c, "quarantine",
                 FIELDS(field_number("messages", n == 1 ? "% message" : "% messages", n)));
    arena_free(&a);
    buf_done(&user);
    return r;
}

static enum result
id_of(struct verb_call *c, uint64_t *out, struct fault *f)
{
    if (hex_id(verb_arg(c, 0), out))
        return R_OK;
    return fault_set(f, FAULT_BAD, "an id as `posthorn quarantine list` tells it");
}

enum result
verb_quarantine_show(struct verb_call *c, struct fault *f)
{
    struct quarantine_entry e;
    struct span header, line;
    uint64_t id = 0;
    struct arena *a = arena_new();
    enum result r = id_of(c, &id, f);
    if (r == R_OK)
        r = quarantine_show(verb_host(c)->mail, id, a, &e, &header, f);
    if (r == R_OK) {
        print(c, &e);
        while (span_next_field(&header, '\n', &line) == R_OK)
            verb_row(c, "header", FIELDS(field_text("line", "\t%", span_trim(line))));
    }
    arena_free(&a);
    return r;
}

static enum result
for_one(struct verb_call *c, enum result (*fn)(struct mail *, uint64_t, struct fault *),
        const char *done, struct fault *f)
{
    uint64_t id = 0;
    if (id_of(c, &id, f) != R_OK || fn(verb_host(c)->mail, id, f) != R_OK)
        return R_FAIL;
    verb_row(c, "quarantine",
             FIELDS(field_id("id", "%", id), field_str("done", " %", done)));
    return R_OK;
}

enum result
verb_quarantine_release(struct verb_call *c, struct fault *f)
{
    return for_one(c, quarantine_release, "is in INBOX now", f);
}

enum result
verb_quarantine_delete(struct verb_call *c, struct fault *f)
{
    return for_one(c, quarantine_delete, "deleted", f);
}
