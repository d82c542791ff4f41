// A filter script failed: its user is told, once a day for each version of the script.
#include "mail/filter_inside.h"

#include "base/log.h"
#include "base/utf8.h"
#include "mail/notice.h"

#include <openssl/evp.h>

static const struct span told_key = SPAN("filter/failed");
enum { DAY_S = 86400, HASH = 32 };

// The value: when, and of which version of the script.
static bool
was_told(const struct filter_run *r, struct span version)
{
    struct span stored;
    if (state_meta_find(account_state(r->account), 0, told_key, &stored) != R_OK)
        return false;
    struct unpack u = unpack_of(stored);
    int64_t when = (int64_t)unpack_u64(&u);
    return !u.bad && span_eq(u.rest, version) && when <= r->now_s &&
           r->now_s - when < DAY_S;
}

// What users wrote, on one line of readable text.
static void
put_text(struct buf *b, struct span s)
{
    s = span_slice(s, 0, 400);
    uint32_t point;
    while (s.n > 0)
        if (utf8_next(&s, &point) != R_OK) {
            buf_put_char(b, '?');
            s = span_skip(s, 1);
        } else {
            utf8_put(b, point < ' ' || point == 0x7f ? ' ' : point);
        }
}

struct words {
    const char *from, *subject;
    const char *script, *line, *error, *rest, *stored;
};
static const struct words english = {
    "Mail server",
    "Your filter script failed",
    "Your filter script \"",
    "\" could not be carried out in line ",
    ":",
    "The message that it was for is in your INBOX, as is all that comes while the script "
    "fails:\r\n"
    "nothing was lost, but it was not sorted. Please mend the script, or turn it off.\r\n"
    "You are told of this once a day at most.",
    "The message that it was for is where it was, and nothing was lost. Please mend the "
    "script.\r\nYou are told of this once a day at most.",
};
static const struct words german = {
    "Mailserver",
    "Ihr Filterskript hat einen Fehler",
    "Ihr Filterskript \"",
    "\" konnte nicht ausgef\xc3\xbchrt werden, Zeile ",
    ":",
    "Die Nachricht liegt im Posteingang, wie alles, was kommt, solange das Skript den "
    "Fehler hat:\r\n"
    "nichts ging verloren, aber es wurde nicht einsortiert. Bitte berichtigen Sie das "
    "Skript,\r\n"
    "oder schalten Sie es aus. Diese Nachricht kommt h\xc3\xb6"
    "chstens einmal am Tag.",
    "Die Nachricht liegt, wo sie lag, und nichts ging verloren. Bitte berichtigen Sie das "
    "Skript.\r\nDiese Nachricht kommt h\xc3\xb6"
    "chstens einmal am Tag.",
};

static void
put_body(struct buf *b, const struct words *w, const struct filter_run *r)
{
    const struct filter_failure *failure = &r->failure;
    buf_put_str(b, w->script);
    put_text(b, failure->name);
    buf_put_str(b, w->line);
    buf_put_u64(b, failure->error.line);
    buf_put_str(b, w->error);
    buf_put_str(b, "\r\n\r\n    ");
    put_text(b, span_str(failure->error.text));
    buf_put_str(b, "\r\n\r\n");
    buf_put_str(b, r->stored ? w->stored : w->rest);
    buf_put_str(b, "\r\n");
}

static void
tell(struct filter_run *r, struct span version)
{
    const struct words *w = notice_german(r->account) ? &german : &english;
    struct buf body, value;
    struct fault f;
    buf_init(&body, 8192);
    buf_init(&value, 8 + HASH);
    put_body(&body, w, r);
    pack_u64(&value, (uint64_t)r->now_s);
    buf_put(&value, version);
    const struct record_meta note = {.key = told_key, .value = buf_span(&value)};
    const struct notice n = {w->from, "filter", span_str(w->subject), buf_span(&body)};
    if (notice_commit(r->account, &n, &note, &f) != R_OK)
        log_warning("sieve", "the user is not told", log_user(r->account->user),
                    log_fault(&f));
    buf_done(&value);
    buf_done(&body);
}

// The administrator's scripts are no matter of the user's: the log has them.
void
filter_tell(struct filter_run *r)
{
    struct span text = r->failure.text;
    unsigned char hash[HASH];
    if (!r->failure.own || (r->stored && r->stored->cause == FILTER_ASKED))
        return;
    must(EVP_Digest(text.p ? text.p : "", text.n, hash, NULL, EVP_sha256(), NULL) == 1);
    if (!was_told(r, span_of(hash, HASH)))
        tell(r, span_of(hash, HASH));
}
