#include "ctl/account.h"
#include "ctl/verbs.h"
#include "mail/labels.h"

// mailbox labels: the arguments are USER, "on" or "off", and "dry-run"; empty where they were not given.

enum { ARG_WHO, ARG_MODE, ARG_DRY };

static struct field
some(const char *name, const char *style, uint64_t n)
{
    return field_number(name, n > 0 ? style : "", n);
}

static const char *
mode_name(bool labels)
{
    return labels ? "labels" : "folders";
}

static void
say(struct verb_call *c, const struct label_switch *s)
{
    bool same = s->was == s->on;
    verb_row(c, "labels",
             FIELDS(field_str("mode", "mode %", mode_name(s->dry_run ? s->was : s->on)),
                    field_flag("dry_run", same ? "" : "; this would be done:", s->dry_run),
                    some("messages", "; % messages", s->messages),
                    field_text("all", s->all.n > 0 ? ", all in %" : "", s->all),
                    field_flag("made", " (new)", s->made),
                    some("added", "; % put there", s->added),
                    some("flags", "; % copies with other flags", s->flags),
                    some("copies", "; % second copies removed", s->copies),
                    some("removed", "; % taken out of it", s->removed),
                    some("alone", "; % stay in it alone", s->alone),
                    field_flag("kept", "; it stays as a folder", s->kept)));
}

static enum result
read_mode(struct span mode, bool *on_out, struct fault *f)
{
    *on_out = span_eq(mode, SPAN("on"));
    if (!*on_out && !span_eq(mode, SPAN("off")))
        return fault_set(f, FAULT_BAD, "on or off, not %.*s", SPAN_ARG(mode));
    return R_OK;
}

enum result
verb_mailbox_labels(struct verb_call *c, struct fault *f)
{
    struct span mode = verb_arg(c, ARG_MODE);
    struct label_switch done;
    struct mail_user *user;
    bool on = false, ask = mode.n == 0, dry_run = verb_arg(c, ARG_DRY).n > 0;
    if (!ask && read_mode(mode, &on, f) != R_OK)
        return R_FAIL;
    if (account_of(c, verb_arg(c, ARG_WHO), &user, f) != R_OK)
        return R_FAIL;
    struct arena *a = arena_new();
    // the mode it has: nothing is done
    enum result r = label_switch(user, on, dry_run || ask, a, &done, f);
    if (r == R_OK && ask)
        done = (struct label_switch){.was = done.was, .on = done.was};
    if (r == R_OK)
        say(c, &done);
    arena_free(&a);
    mail_user_close(&user);
    return r;
}
