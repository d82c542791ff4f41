// RFC 4978: COMPRESS=DEFLATE. From the CRLF of its tagged OK on both directions are compressed (io/conn_pack.c).
#include "imap/response.h"

#include "base/limits.h"

// RFC 8437 section 5: what the client sends after UNAUTHENTICATE is not compressed any more, pipelined or not.
static bool
ends_compression(struct span unread)
{
    struct span line = span_trim(span_slice(
        unread, unread.n > LIMIT_line_preauth ? unread.n - LIMIT_line_preauth : 0,
        unread.n));
    if (unread.n == 0 || unread.p[unread.n - 1] != '\n')
        return false;
    for (size_t end; (end = span_find_char(line, '\n')) < line.n;)
        line = span_skip(line, end + 1);
    size_t space = span_find_char(line, ' ');
    return space < line.n && span_ieq(span_skip(line, space + 1), SPAN("UNAUTHENTICATE"));
}

// Tells and answers by itself: the compressed octets begin behind its OK.
static enum result
run_compress(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    struct parse *p = &c->parse;
    parse_sp(p);
    if (!parse_try_word(p, "DEFLATE"))
        parse_fail(p, "unknown compression");
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    if (conn_is_compressed(s->conn))
        return imap_answer_no(c, f, FAULT_CANNOT,
                              "[COMPRESSIONACTIVE] DEFLATE is active already");
    if (imap_sync(s, VIEW_EXPUNGE, c->arena, f) != R_OK)
        return R_FAIL;
    imap_answer(c, "DEFLATE active");
    imap_tagged_ok(c);
    c->untagged_only = true;
    conn_compress(s->conn, ends_compression);
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"COMPRESS", ARGS_OWN, IMAP_ANY, VERB_QUIET | VERB_READS, 0, run_compress},
    {.name = NULL},
};

const struct imap_ext imap_ext_compress = {
    .name = "compress",
    .rfc = "RFC 4978",
    .capability = "COMPRESS=DEFLATE",
    .verbs = verbs,
};
