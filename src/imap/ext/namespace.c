// RFC 2342, RFC 9051 section 6.3.10: the own tree without a prefix, other users' trees where they are mounted.
#include "imap/response.h"

#include "base/limits.h"
#include "wire/mutf7.h"
#include "wire/quote.h"

// "Shared/" of "Shared/bob".
static struct span
parent_of(struct span prefix)
{
    size_t n = span_behind_last(prefix, '/');
    return n > 0 ? span_of(prefix.p, n) : prefix;
}

static bool
seen_before(const struct mail_user *u, size_t i, struct span parent)
{
    for (size_t j = 0; j < i; j++)
        if (span_eq(parent_of(mail_user_mount_prefix(u, j)), parent))
            return true;
    return false;
}

// A string as the grammar wants it, spelled like a mailbox name.
static void
put_prefix(const struct imap_session *s, struct buf *b, struct span prefix)
{
    struct buf encoded;
    buf_init(&encoded, LIMIT_mailbox_name * 8);
    if (!imap_utf8(s))
        mutf7_from_utf8(prefix, &encoded);
    quote_string(b, imap_utf8(s) ? prefix : buf_span(&encoded), imap_utf8(s));
    buf_done(&encoded);
}

// RFC 5255 section 3.4
static void
put_translation(const struct imap_session *s, struct buf *b, struct span prefix)
{
    struct span text = imap_prefix_text(s->language, prefix);
    if (!text.p)
        return;
    buf_put_str(b, " \"TRANSLATION\" (");
    put_prefix(s, b, text);
    buf_put_char(b, ')');
}

static void
put_others(const struct imap_session *s, struct buf *b)
{
    size_t n = mail_user_mounts(s->user);
    buf_put_str(b, n > 0 ? "(" : "NIL");
    for (size_t i = 0; i < n; i++) {
        struct span parent = parent_of(mail_user_mount_prefix(s->user, i));
        if (seen_before(s->user, i, parent))
            continue;
        buf_put_char(b, '(');
        put_prefix(s, b, parent);
        buf_put_str(b, " \"/\"");
        put_translation(s, b, parent);
        buf_put_char(b, ')');
    }
    if (n > 0)
        buf_put_char(b, ')');
}

void
imap_namespace_send(struct imap_session *s)
{
    struct buf *b = imap_line(s);
    buf_put_str(b, "* NAMESPACE ((\"\" \"/\")) ");
    put_others(s, b);
    buf_put_str(b, " NIL");
    imap_line_send(s);
}

static enum result
run_namespace(struct imap_command *c, struct fault *f)
{
    (void)f;
    imap_namespace_send(c->session);
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"NAMESPACE", ARGS_NONE, IMAP_ANY, VERB_READS, 0, run_namespace},
    {.name = NULL},
};

const struct imap_ext imap_ext_namespace = {
    .name = "namespace",
    .rfc = "RFC 2342",
    .capability = "NAMESPACE",
    .verbs = verbs,
};
