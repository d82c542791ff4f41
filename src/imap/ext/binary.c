#include "imap/fetch.h"
#include "imap/part.h"

static enum result
find_part(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct mail_part *p,
          struct fault *f)
{
    *p = (struct mail_part){.mail = run->mail, .row = &run->message->row};
    return mail_part_find(p, &w->section, &run->cache, run->scratch, f);
}

static void
put_name(struct imap_fetch_run *run, const struct imap_fetch_want *w, const char *name)
{
    buf_put_str(run->line, name);
    buf_put_char(run->line, '[');
    buf_put(run->line, w->section.text);
    buf_put_char(run->line, ']');
    if (w->has_partial)
        buf_printf(run->line, "<%llu>", (unsigned long long)w->partial_at);
    buf_put_char(run->line, ' ');
}

// A part that is not there is NIL; one that holds NUL travels as literal8.
static enum result
put_binary(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    struct mail_part part;
    struct mail_part_window all;
    enum result r = find_part(run, w, &part, f);
    put_name(run, w, "BINARY");
    if (r == R_NONE)
        buf_put(run->line, SPAN("NIL"));
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    if (mail_part_measure(&part, true, run->scratch, &all, f) != R_OK)
        return R_FAIL;
    if (w->has_partial)
        mail_part_window(&all, w->partial_at, w->partial_count);
    buf_printf(run->line, "%s{%llu}\r\n", all.nul ? "~" : "", (unsigned long long)all.left);
    run->streamed = run->in_literal = true;
    imap_line_flush(run->session);
    struct imap_part_send how = {.decoded = true};
    r = imap_part_send(run->session, &part, &how, run->scratch, &all, f);
    run->in_literal = r != R_OK;
    run->line = imap_line(run->session);
    return r;
}

static enum result
put_binary_size(struct imap_fetch_run *run, const struct imap_fetch_want *w,
                struct fault *f)
{
    struct mail_part part;
    struct mail_part_window all = {.size = 0};
    enum result r = find_part(run, w, &part, f);
    if (r == R_OK)
        r = mail_part_measure(&part, true, run->scratch, &all, f);
    if (r == R_FAIL)
        return R_FAIL;
    put_name(run, w, "BINARY.SIZE");
    buf_put_u64(run->line, all.size);
    return R_OK;
}

static void
parse_binary_section(struct parse *p, struct imap_fetch_want *w)
{
    parse_char(p, '[');
    w->section = parse_section_binary(p);
    w->has_partial = parse_partial(p, &w->partial_at, &w->partial_count);
}

static void
parse_binary_peek(struct parse *p, struct imap_fetch_want *w)
{
    parse_binary_section(p, w);
    w->peek = true;
}

static void
parse_binary_size(struct parse *p, struct imap_fetch_want *w)
{
    parse_char(p, '[');
    w->section = parse_section_binary(p);
}

static const struct imap_fetch_item item_binary = {FETCH_BODY | FETCH_SEEN | FETCH_PARTS,
                                                   parse_binary_section, put_binary};
static const struct imap_fetch_item item_binary_peek = {FETCH_BODY | FETCH_PARTS,
                                                        parse_binary_peek, put_binary};
static const struct imap_fetch_item item_binary_size = {FETCH_BODY | FETCH_PARTS,
                                                        parse_binary_size, put_binary_size};

static const struct imap_word words[] = {
    {SLOT_FETCH, "BINARY", 0, {.fetch = &item_binary}},
    {SLOT_FETCH, "BINARY.PEEK", 0, {.fetch = &item_binary_peek}},
    {SLOT_FETCH, "BINARY.SIZE", 0, {.fetch = &item_binary_size}},
    {0},
};

const struct imap_ext imap_ext_binary = {
    .name = "binary",
    .rfc = "RFC 3516, RFC 9051 section 6.4.5",
    .capability = "BINARY",
    .words = words,
};
