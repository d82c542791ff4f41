#include "ctl/account.h"
#include "ctl/verbs.h"
#include "mail/index.h"

// mailbox index: the argument is USER.

static void
say(struct verb_call *c, const struct mail_index_state *s)
{
    verb_row(
        c, "index",
        FIELDS(field_number("documents", "% documents", s->stats.documents),
               field_number("octets", ", % octets", s->stats.octets),
               field_number("text_octets", " for % octets of text", s->stats.text_octets),
               field_number("terms", ", % terms", s->stats.terms),
               field_number("segments", ", % segments", s->stats.segments),
               field_number("memory", ", % octets of memory", s->memory),
               field_number("files", "; % octets for texts of attachments", s->files),
               field_number("unindexed", "; at most % messages not indexed", s->unindexed),
               field_flag("working", "; at work", s->working),
               field_flag("resting", "; rests after an error", s->resting),
               field_flag("on", s->on ? "" : "; off (search_index)", s->on)));
}

enum result
verb_mailbox_index(struct verb_call *c, struct fault *f)
{
    struct mail_index_state state;
    struct mail_user *user;
    if (account_of(c, verb_arg(c, 0), &user, f) != R_OK)
        return R_FAIL;
    // what it keeps of messages that are gone is nobody's to see; R_NONE: others are at work, the daily look comes by
    (void)mail_index_purge(mail_user_account(user));
    enum result r = mail_index_state(mail_user_account(user), &state, f);
    if (r == R_OK)
        say(c, &state);
    mail_user_close(&user);
    return r;
}
