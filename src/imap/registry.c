#include "imap/ext.h"
#include "base/metrics.h"

const struct imap_ext *const imap_exts[] = {
#define EXT(name) &imap_ext_##name,
#include "imap/ext.def"
#undef EXT
    NULL,
};

static bool
is_offered(const struct imap_ext *e, const struct imap_session *s)
{
    return !e->offered || e->offered(s);
}

static bool
has_form(const struct imap_verb *v, bool uid)
{
    return uid ? v->flags & (VERB_UID | VERB_ONLY_UID) : !(v->flags & VERB_ONLY_UID);
}

const struct imap_verb *
imap_verb_find(const struct imap_session *s, struct span name, bool uid)
{
    for (const struct imap_ext *const *e = imap_exts; *e; e++)
        for (const struct imap_verb *v = (*e)->verbs; v && v->name; v++)
            if (is_offered(*e, s) && has_form(v, uid) && span_ieq(name, span_str(v->name)))
                return v;
    return NULL;
}

// The number behind the last is that of unknown ones.
static unsigned
number_of(const struct imap_verb *verb, bool tell)
{
    unsigned n = 0;
    for (const struct imap_ext *const *e = imap_exts; *e; e++)
        for (const struct imap_verb *v = (*e)->verbs; v && v->name; v++, n++) {
            if (v == verb)
                return n;
            if (tell)
                metrics_command_name(n, v->name);
        }
    return n;
}

unsigned
imap_verb_number(const struct imap_verb *verb)
{
    return number_of(verb, false);
}

void
imap_verbs_tell(void)
{
    unsigned n = number_of(NULL, true);
    must(n < METRIC_COMMANDS);
    metrics_command_name(n, "unknown");
}

const struct imap_word *
imap_word_find(enum imap_slot slot, struct span name)
{
    for (const struct imap_ext *const *e = imap_exts; *e; e++)
        for (const struct imap_word *w = (*e)->words; w && w->name; w++)
            if (w->slot == slot && span_ieq(name, span_str(w->name)))
                return w;
    return NULL;
}

void
imap_capabilities_put(const struct imap_session *s, struct buf *b)
{
    bool first = true;
    for (const struct imap_ext *const *e = imap_exts; *e; e++) {
        if (!is_offered(*e, s))
            continue;
        if ((*e)->capability) {
            buf_put_str(b, first ? "" : " ");
            buf_put_str(b, (*e)->capability);
            first = false;
        }
        if ((*e)->capability_put)
            (*e)->capability_put(s, b);
    }
}
