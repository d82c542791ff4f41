#include "submission/inside.h"

#include "base/limits.h"
#include "base/log.h"
#include "mail/url.h"

// BURL (RFC 4468): a piece of the text by the URL of a message here. URLs are resolved in this process, as CATENATE and URLFETCH
// resolve theirs: no other server is ever asked.

// What refuses a URL fails the mail (section 3.2): who sent the next pieces already is not to send it without this one.
static void
refuse(struct submission_session *s, const struct submission_answer *why)
{
    log_info("submission", "Refused", log_user(mail_user_name(s->user)), log_session(s->id),
             log_why(why->text));
    submission_say(s, why->code, why->enhanced, why->text);
    submission_reset(s);
}

static const struct submission_answer
    bad_syntax = {501, "5.5.4", "Syntax: BURL URL [LAST]"},
    no_mail = {503, "5.5.1", "MAIL first"},
    no_recipients = {554, "5.5.0", "No recipients have been specified"},
    too_many = {452, "4.5.3", "Too many URLs in one mail"},
    no_message = {501, "5.5.4", "Not the IMAP URL of a message"},
    elsewhere = {554, "5.7.14", "URLs of other servers are not resolved"},
    no_urlauth = {554, "5.7.0", "This password needs URLs with URLAUTH"},
    of_another = {554, "5.7.0", "IMAP URL authorization failed"},
    unresolved = {554, "5.6.6", "IMAP URL resolution failed"};

static enum result
parse_args(struct span args, struct span *url_out, bool *last_out)
{
    struct span rest = args;
    if (span_next_field(&rest, ' ', url_out) != R_OK || url_out->n == 0)
        return R_FAIL;
    rest = span_trim(rest);
    *last_out = rest.n > 0;
    return rest.n == 0 || span_ieq(rest, SPAN("LAST")) ? R_OK : R_FAIL;
}

static const struct submission_answer *
judge_state(const struct submission_session *s)
{
    if (!s->mail.there)
        return &no_mail;
    if (s->mail.count == 0)
        return &no_recipients;
    return s->mail.urls >= LIMIT_catenate_parts ? &too_many : NULL;
}

// What the URL says of itself, before anything is looked up but whether a name is the user's own. R_NONE: *why.
static enum result
judge_url(struct submission_session *s, const struct mail_url_reader *who, struct span text,
          const struct submission_answer **why, struct fault *f)
{
    struct url url;
    *why = NULL;
    if (url_parse(text, s->scratch, &url, f) != R_OK || !url.host.p)
        *why = &no_message;
    else if (!who->users->is_here(url.host, url.port, who->arg))
        *why = &elsewhere;
    else if (!url.auth.token.p && !s->host.own_urls)
        *why = &no_urlauth;
    if (*why || url.auth.access != URL_ACCESS_SUBMIT)
        return *why ? R_NONE : R_OK;
    *why = &of_another;  // section 3.3
    return who->users->is_own(url.auth.user, who->arg, f);
}

static enum result
open_url(struct submission_session *s, struct span text, struct mail_url *out,
         const struct submission_answer **why, struct fault *f)
{
    const struct mail_url_reader who = {
        .user = s->user, .users = s->host.users, .arg = s->host.arg};
    enum result r = judge_url(s, &who, text, why, f);
    if (r != R_OK)
        return r;
    *why = &unresolved;
    return mail_url_open(&who, text, MAIL_URL_SUBMIT, out, f);
}

static enum result
take_piece(void *arg, char *octets, size_t n, struct fault *f)
{
    submission_text_take(arg, span_of(octets, n));
    return submission_text_failed(arg) ? fault_set(f, FAULT_CANNOT, "not taken") : R_OK;
}

// The octets of the URL become the next of the text. R_NONE: it is answered why not; R_FAIL: the text knows why.
static enum result
take_url(struct submission_session *s, struct span text)
{
    const struct mail_part_sink sink = {take_piece, s->mail.text};
    const struct submission_answer *why;
    struct mail_url u;
    struct fault f;
    enum result r = open_url(s, text, &u, &why, &f);
    if (r == R_NONE)
        refuse(s, why);
    if (r == R_FAIL)
        submission_text_fail(s->mail.text, &f);
    if (r != R_OK)
        return r;
    r = mail_part_read(&u.part, false, u.arena, &sink, &f);
    if (r != R_OK)
        submission_text_fail(s->mail.text, &f);  // an earlier reason stays
    mail_url_close(&u);
    return r;
}

static void
add_url(struct submission_session *s, struct span text, bool last)
{
    if (!s->mail.text)
        s->mail.text = submission_text_new(s);
    s->mail.urls++;
    enum result r = submission_text_failed(s->mail.text) ? R_FAIL : take_url(s, text);
    if (r == R_OK && !last)
        submission_say(s, 250, "2.5.0", "Waiting for additional BURL or BDAT commands");
    if (r == R_NONE || (r == R_OK && !last))
        return;
    if (r == R_OK)
        submission_text_finish(s->mail.text);
    else
        submission_text_refuse(s->mail.text);
    submission_reset(s);
}

void
submission_burl(struct submission_session *s, struct span args)
{
    const struct submission_answer *why = judge_state(s);
    struct span url;
    bool last;
    if (!why && parse_args(args, &url, &last) != R_OK)
        why = &bad_syntax;
    if (!why)
        add_url(s, url, last);
    else if (why == &no_mail)
        submission_say(s, why->code, why->enhanced, why->text);
    else
        refuse(s, why);
}
