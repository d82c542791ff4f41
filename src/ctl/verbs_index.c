#include "ctl/account.h"
#include "ctl/verbs.h"
#include "mail/index.h"

#include <time.h>

// mailbox index: the arguments are USER and "make", empty where it was not given.

enum { DAY_TEXT = 16 };

static void
put_day(char text[DAY_TEXT], int64_t at_s)
{
    time_t at = (time_t)at_s;
    struct tm tm;
    if (localtime_r(&at, &tm) == NULL || strftime(text, DAY_TEXT, "%Y-%m-%d", &tm) == 0)
        text[0] = '\0';
}

// Why it is not made; "" where it is.
static const char *
why_not(const struct mail_index_state *s)
{
    switch (s->mode) {
    case MAIL_INDEX_ELSEWHERE:
        return "; only a running server has more to say";
    case MAIL_INDEX_OFF:
        return "; off (search_index)";
    case MAIL_INDEX_ASKED:
        if (s->wanted)
            return "";
        return s->asked_s == 0 ? "; not asked yet, so not made (search_index = asked)"
                               : "; not asked for long, so left as it is "
                                 "(search_index = asked)";
    case MAIL_INDEX_ALL:
        break;
    }
    return "";
}

static void
say(struct verb_call *c, const struct mail_index_state *s)
{
    char day[DAY_TEXT];
    put_day(day, s->asked_s);
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
               field_if(s->mode == MAIL_INDEX_ASKED && s->asked_s > 0,
                        field_str("asked", "; asked on %", day)),
               field_flag("on", "", s->on), field_flag("wanted", "", s->wanted),
               field_str(NULL, "%", why_not(s))));
}

static enum result
check_word(struct span word, struct fault *f)
{
    if (word.n > 0 && !span_eq(word, SPAN("make")))
        return fault_set(f, FAULT_BAD, "make, not %.*s", SPAN_ARG(word));
    return R_OK;
}

enum result
verb_mailbox_index(struct verb_call *c, struct fault *f)
{
    struct mail_index_state state;
    struct mail_user *user;
    struct span make = verb_arg(c, 1);
    if (check_word(make, f) != R_OK)
        return R_FAIL;
    if (account_of(c, verb_arg(c, 0), &user, f) != R_OK)
        return R_FAIL;
    // what it keeps of messages that are gone is nobody's to see; R_NONE: others are at work, the daily look comes by
    (void)mail_index_purge(mail_user_account(user));
    if (make.n > 0)
        mail_index_want(mail_user_account(user));
    enum result r = mail_index_state(mail_user_account(user), &state, f);
    if (r == R_OK)
        say(c, &state);
    mail_user_close(&user);
    return r;
}
