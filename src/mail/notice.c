#include "mail/notice.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "mail/intake.h"
#include "mime/date.h"

bool
notice_german(const struct account *a)
{
    return span_eq(span_str(mail_folder_language(a->mail)), SPAN("de"));
}

static void
put_address(struct buf *b, struct span user, const char *host)
{
    if (!ascii_only(user))
        buf_put_str(b, "undisclosed-recipients:;");
    else if (span_find_char(user, '@') < user.n)
        buf_printf(b, "<%.*s>", SPAN_ARG(user));
    else
        buf_printf(b, "<%.*s@%s>", SPAN_ARG(user), host);
}

static void
put_head(struct buf *b, const struct account *a, const struct notice *n)
{
    const char *host = quotas_now(mail_quotas(a->mail))->hostname;
    host = host && *host ? host : "localhost";
    buf_printf(b, "From: %s <postmaster@%s>\r\nTo: ", n->from, host);
    put_address(b, a->user, host);
    buf_printf(b, "\r\nSubject: %.*s\r\nDate: ", SPAN_ARG(n->subject));
    mime_date_put(b, clock_wall_s());
    buf_printf(b,
               "\r\nMessage-ID: <%s.%016llx@%s>\r\nAuto-Submitted: auto-generated\r\n"
               "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Transfer-Encoding: 8bit\r\n\r\n",
               n->kind, (unsigned long long)store_id_next(mail_store(a->mail)), host);
}

static enum result
commit(struct account *a, struct span text, const struct record_meta *note, struct fault *f)
{
    struct intake *in = intake_begin(a->mail);
    struct intake_item item = {in, {.quota = QUOTA_WARNING}};
    struct intake_batch batch = {
        .items = &item, .n = 1, .notes = note, .note_n = note != NULL};
    struct intake_result done;
    struct mailbox_ref inbox;
    enum result r = intake_delivery_target(a, SPAN_NONE, &inbox, f);
    if (r == R_OK)
        r = intake_write(in, text, f);
    if (r == R_OK)
        r = intake_finish(in, f);
    if (r == R_OK)
        r = intake_commit_all(&batch, &inbox, &done, f);
    intake_free(&in);
    return r;
}

enum result
notice_commit(struct account *a, const struct notice *n, const struct record_meta *note,
              struct fault *f)
{
    struct buf text;
    buf_init(&text, 16384);
    put_head(&text, a, n);
    buf_put(&text, n->body);
    must(!text.over);
    enum result r = commit(a, buf_span(&text), note, f);
    buf_done(&text);
    return r;
}
