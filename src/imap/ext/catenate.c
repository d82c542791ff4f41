// RFC 4469: CATENATE: a message put together from literals and from parts of messages that are here, by relative URL.
#include "imap/append.h"

#include "base/limits.h"

// The answer of the whole command: the first URL that stands for nothing.
static enum result
bad_url(struct imap_command *c, struct span url, struct fault *f)
{
    struct buf safe;
    buf_init(&safe, LIMIT_answer_line);
    url_put_safe(&safe, span_slice(url, 0, LIMIT_url));
    enum result r =
        imap_answer_no(c, f, FAULT_BADURL, "[BADURL %.*s] No such message or part",
                       SPAN_ARG(buf_span(&safe)));
    buf_done(&safe);
    return r;
}

static enum result
copy_piece(void *arg, char *octets, size_t n, struct fault *f)
{
    return imap_append_write(arg, span_of(octets, n), f);
}

static enum result
copy_url(struct imap_append *a, struct mail_url *u, struct fault *f)
{
    struct mail_part_sink sink = {copy_piece, a};
    if (imap_append_room(a, u->part.size, f) != R_OK)
        return R_FAIL;
    return mail_part_read(&u->part, false, u->arena, &sink, f);
}

static enum result
add_url(struct imap_append *a, struct span url, struct fault *f)
{
    struct mail_url u;
    const struct mail_url_reader who = imap_url_reader(a->c->session);
    enum result r = mail_url_open(&who, url, MAIL_URL_APPEND, &u, f);
    if (r == R_NONE)
        return bad_url(a->c, url, f);
    if (r != R_OK)
        return R_FAIL;
    r = copy_url(a, &u, f);
    mail_url_close(&u);
    return r;
}

// A URL that comes as a literal.
static enum result
read_literal(struct imap_command *c, struct span *url, struct fault *f)
{
    if (imap_stream_collect(c, LIMIT_url, url, f) == R_OK)
        return R_OK;
    return f->kind == FAULT_TOOBIG ? fault_set(f, FAULT_LIMIT, "URL of too many octets")
                                   : R_FAIL;
}

static enum result
receive_url(struct imap_append *a, struct fault *f)
{
    struct imap_command *c = a->c;
    struct parse *p = &c->parse;
    struct span url = SPAN_NONE;
    if (parse_peek(p) == '{') {
        if (read_literal(c, &url, f) != R_OK)
            return R_FAIL;
    } else {
        url = parse_astring(p);
        if (p->bad)
            return parse_end(p, f);
    }
    return add_url(a, url, f);
}

static enum result
receive_part(struct imap_append *a, struct fault *f)
{
    struct parse *p = &a->c->parse;
    bool text = parse_try_word(p, "TEXT");
    if (!text && !parse_try_word(p, "URL"))
        parse_fail(p, "TEXT or URL expected");
    parse_sp(p);
    if (p->bad)
        return parse_end(p, f);
    return text ? imap_append_literal(a, f) : receive_url(a, f);
}

static enum result
receive_catenate(struct imap_append *a, struct fault *f)
{
    struct parse *p = &a->c->parse;
    unsigned parts = 0;
    parse_sp(p);
    parse_char(p, '(');
    do {
        if (++parts > LIMIT_catenate_parts)
            return fault_set(f, FAULT_LIMIT, "too many parts of a message");
        if (receive_part(a, f) != R_OK)
            return R_FAIL;
    } while (parse_try(p, ' '));
    parse_char(p, ')');
    return p->bad ? parse_end(p, f) : R_OK;
}

static const struct imap_append_data data = {receive_catenate};
static const struct imap_word words[] = {
    {SLOT_APPEND, "CATENATE", 0, {.append = &data}},
    {.name = NULL},
};

const struct imap_ext imap_ext_catenate = {
    .name = "catenate",
    .rfc = "RFC 4469, RFC 5550 section 3.5",
    .capability = "CATENATE URL-PARTIAL",
    .words = words,
};
