// RFC 2342, RFC 9051 section 6.3.10: the own tree without a prefix, other users' trees, and the one of nobody.
#include "imap/response.h"

#include "base/limits.h"
#include "wire/mutf7.h"
#include "wire/quote.h"

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
put_tree(const struct imap_session *s, struct buf *b, struct span prefix)
{
    buf_put_str(b, " ((");
    put_prefix(s, b, prefix);
    buf_put_str(b, " \"/\"");
    put_translation(s, b, prefix);
    buf_put_str(b, "))");
}

// The trees of others, whether or not anything in them may be seen.
void
imap_namespace_send(struct imap_session *s)
{
    struct buf *b = imap_line(s);
    buf_put_str(b, "* NAMESPACE ((\"\" \"/\"))");
    put_tree(s, b, SPAN("Shared/"));
    put_tree(s, b, SPAN("Public/"));
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
