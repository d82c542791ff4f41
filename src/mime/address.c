#include "mime/address.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "mime/token.h"

// IMAP needs a host for everything that is not a group (RFC 9051 section 7.5.2), so what is
// missing gets a word in its place; these are the words other servers use.
#define NO_MAILBOX SPAN("MISSING_MAILBOX")
#define NO_HOST SPAN("MISSING_DOMAIN")
#define BAD_HOST SPAN("SYNTAX_ERROR")
#define BAD_ROUTE SPAN("INVALID_ROUTE")

struct parse {
    struct arena *arena;
    struct mime_lex lex;
    struct buf text, comment;
    struct mime_address now;  // being read
    struct mime_address *first, **tail;
    size_t n;
};

static struct span
keep(struct parse *p)
{
    return arena_dup(p->arena, buf_span(&p->text));
}

static void
add(struct parse *p, enum mime_address_kind kind)
{
    struct mime_address *address = ARENA_NEW(p->arena, struct mime_address);

    *address = p->now;
    address->kind = kind;
    p->now = (struct mime_address){0};
    *p->tail = address;
    p->tail = &address->next;
    p->n++;
}

static void
add_mailbox(struct parse *p)
{
    if (!p->now.mailbox.p)
        p->now.mailbox = NO_MAILBOX;
    if (p->now.host.n == 0)
        p->now.host = NO_HOST;
    add(p, MIME_ADDRESS);
}

static enum lex
read_local_part(struct parse *p)
{
    buf_reset(&p->text);
    enum lex got = mime_lex_peek(&p->lex) == '"' ? mime_lex_quoted(&p->lex, &p->text)
                                                 : mime_lex_local_part(&p->lex, &p->text);
    if (got != LEX_BAD)
        p->now.mailbox = keep(p);
    return got;
}

static enum lex
read_host(struct parse *p)
{
    buf_reset(&p->text);
    enum lex got = mime_lex_domain(&p->lex, &p->text);
    if (got != LEX_BAD)
        p->now.host = keep(p);
    return got;
}

// obs-route: "@" domain *("," "@" domain) ":"
static bool
read_route(struct parse *p)
{
    buf_reset(&p->text);
    while (mime_lex_peek(&p->lex) == '@') {
        if (p->text.n > 0)
            buf_put_char(&p->text, ',');
        buf_put_char(&p->text, '@');
        if (mime_lex_domain(&p->lex, &p->text) != LEX_MORE)
            return false;
        while (mime_lex_space(&p->lex) == LEX_MORE && *p->lex.p == ',')
            p->lex.p++;
    }
    if (p->lex.p == p->lex.end)
        return false;
    p->now.route = keep(p);
    return *p->lex.p == ':';
}

// At '<'.
static enum lex
read_angle(struct parse *p)
{
    p->lex.p++;
    if (mime_lex_space(&p->lex) != LEX_MORE)
        return LEX_BAD;
    if (*p->lex.p == '@') {
        if (read_route(p))
            p->lex.p++;
        else
            p->now.route = BAD_ROUTE;
        if (mime_lex_space(&p->lex) != LEX_MORE)
            return LEX_BAD;
    }
    if (*p->lex.p != '>') {
        if (read_local_part(p) != LEX_MORE)
            return LEX_BAD;
        if (*p->lex.p == '@' && read_host(p) != LEX_MORE)
            return LEX_BAD;
    }
    if (mime_lex_peek(&p->lex) != '>')
        return LEX_BAD;
    p->lex.p++;
    return mime_lex_space(&p->lex);
}

static enum lex
read_name_addr(struct parse *p)
{
    buf_reset(&p->text);
    if (mime_lex_phrase(&p->lex, &p->text) != LEX_MORE || *p->lex.p != '<')
        return LEX_BAD;
    if (p->text.n > 0)
        p->now.name = keep(p);
    if (read_angle(p) == LEX_BAD)
        p->now.host = BAD_HOST;
    return p->lex.p < p->lex.end ? LEX_MORE : LEX_END;
}

// Words without "@host": one word alone is a mailbox, several are a name.
static void
read_bare_words(struct parse *p, bool quoted)
{
    buf_put_char(&p->text, ' ');
    size_t before = p->text.n;
    (void)mime_lex_phrase(&p->lex, &p->text);
    if (p->text.n != before) {
        p->now.mailbox = SPAN_NONE;
        p->now.name = keep(p);
    } else if (quoted) {
        p->now.name = p->now.mailbox;
        p->now.mailbox = SPAN_NONE;
    }
}

static enum lex
read_addr_spec(struct parse *p)
{
    bool quoted = mime_lex_peek(&p->lex) == '"';
    bool host = false;

    buf_reset(&p->comment);
    enum lex got = read_local_part(p);
    if (got != LEX_END && mime_lex_peek(&p->lex) == '@') {
        enum lex got_host = read_host(p);
        host = true;
        if (got_host != LEX_MORE)
            got = got_host;
    }
    if (p->comment.n > 0) {
        p->now.name = arena_dup(p->arena, buf_span(&p->comment));
        return got;
    }
    if (host)
        return got;
    read_bare_words(p, quoted);
    return LEX_BAD;
}

// Up to what ends a word without quotes, whatever else is in it.
static enum lex
read_odd_word(struct parse *p)
{
    while (p->lex.p < p->lex.end && !ascii_is_space(*p->lex.p) &&
           !strchr("\"(<,;", *p->lex.p))
        buf_put_char(&p->text, *p->lex.p++);
    return mime_lex_space(&p->lex);
}

// With a name that is no phrase: "[List] Joe <j@x>". LEX_BAD: no address in '<' and '>' is here.
static enum lex
read_odd_name_addr(struct parse *p)
{
    enum lex got = LEX_MORE;

    buf_reset(&p->text);
    while (got == LEX_MORE && !strchr("<,;", *p->lex.p)) {
        if (p->text.n > 0)
            buf_put_char(&p->text, ' ');
        got = *p->lex.p == '"' ? mime_lex_quoted(&p->lex, &p->text) : read_odd_word(p);
    }
    if (got != LEX_MORE || *p->lex.p != '<')
        return LEX_BAD;
    p->now = (struct mime_address){.name = keep(p)};
    got = read_angle(p);
    return p->now.mailbox.p && p->now.host.n > 0 ? got : LEX_BAD;
}

// An addr-spec; where it is not all of its place, what is before '<' may be a name. "a@b <a@b>" needs none.
static enum lex
read_bare(struct parse *p)
{
    const char *start = p->lex.p;
    enum lex got = read_addr_spec(p);
    const char *behind = p->lex.p;
    struct mime_address bare = p->now;

    if (behind == p->lex.end || strchr(",;", *behind))
        return got;
    p->lex.p = start;
    enum lex odd = read_odd_name_addr(p);
    if (odd != LEX_BAD &&
        !(span_ieq(p->now.mailbox, bare.mailbox) && span_ieq(p->now.host, bare.host)))
        return odd;
    p->lex.p = behind;
    p->now = bare;
    return got;
}

static enum lex
read_mailbox(struct parse *p)
{
    const char *start = p->lex.p;
    enum lex got = read_name_addr(p);

    if (got == LEX_BAD) {
        p->lex.p = start;
        got = read_bare(p);
    }
    add_mailbox(p);
    return got;
}

// What stands behind an address that is broken is passed over, up to the next place or the end of its group. False: there is none.
static bool
find_place(struct parse *p, bool in_group)
{
    enum lex got = mime_lex_space(&p->lex);

    while (got == LEX_MORE && *p->lex.p != ',' && !(in_group && *p->lex.p == ';')) {
        if (*p->lex.p == '"') {
            got = mime_lex_quoted(&p->lex, NULL);
            continue;
        }
        struct span rest = span_of(p->lex.p, (size_t)(p->lex.end - p->lex.p));
        size_t n = *rest.p == '<' ? span_find_char(rest, '>') : 0;
        if (n == rest.n)
            return false;
        p->lex.p += n + 1;
        got = mime_lex_space(&p->lex);
    }
    return got == LEX_MORE;
}

// Passes over commas: an empty place in a list is no address (RFC 5322 section 4.4).
static enum lex
next_place(struct parse *p)
{
    enum lex got = mime_lex_space(&p->lex);

    while (got == LEX_MORE && *p->lex.p == ',') {
        p->lex.p++;
        got = mime_lex_space(&p->lex);
    }
    return got;
}

static enum lex
read_group_members(struct parse *p)
{
    while (p->n < LIMIT_mime_addresses && *p->lex.p != ';') {
        (void)read_mailbox(p);
        if (!find_place(p, true) || next_place(p) != LEX_MORE)
            return LEX_BAD;
    }
    return LEX_MORE;
}

// group = display-name ":" [mailbox-list] ";"  LEX_BAD: not a group, nothing was added.
static enum lex
read_group(struct parse *p)
{
    buf_reset(&p->text);
    if (mime_lex_phrase(&p->lex, &p->text) != LEX_MORE || *p->lex.p != ':')
        return LEX_BAD;
    p->lex.p++;
    enum lex got = next_place(p);
    p->now.mailbox = keep(p);
    add(p, MIME_GROUP_START);

    if (got == LEX_MORE)
        got = read_group_members(p);
    if (got != LEX_BAD && mime_lex_peek(&p->lex) == ';') {
        p->lex.p++;
        got = mime_lex_space(&p->lex);
    } else {
        got = LEX_BAD;
    }
    add(p, MIME_GROUP_END);
    return got == LEX_END ? LEX_END : LEX_MORE;
}

static enum lex
read_address(struct parse *p)
{
    const char *start = p->lex.p;
    enum lex got = read_group(p);

    if (got != LEX_BAD)
        return got;
    p->lex.p = start;
    return read_mailbox(p);
}

static void
read_list(struct parse *p)
{
    while (p->n < LIMIT_mime_addresses) {
        if (read_address(p) == LEX_END || !find_place(p, false))
            return;
        enum lex got = next_place(p);
        if (got == LEX_BAD)
            add_mailbox(p);
        if (got != LEX_MORE)
            return;
    }
}

struct mime_address *
mime_address_parse(struct arena *a, struct span text)
{
    struct parse p = {.arena = a, .lex = mime_lex_of(text)};

    p.tail = &p.first;
    buf_init(&p.text, LIMIT_mime_header);
    buf_init(&p.comment, LIMIT_mime_header);
    p.lex.comment = &p.comment;
    if (next_place(&p) == LEX_MORE)
        read_list(&p);
    buf_done(&p.text);
    buf_done(&p.comment);
    return p.first;
}

void
mime_address_put(struct buf *b, const struct mime_address *a)
{
    quoted_put_local(b, a->mailbox);
    if (a->host.n > 0) {
        buf_put_char(b, '@');
        buf_put(b, a->host);
    }
}
