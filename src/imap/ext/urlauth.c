// RFC 4467: URLs that carry the right to be read. RFC 5524: URLFETCH of what is decoded, and its structure.
#include "imap/part.h"
#include "imap/response.h"

#include "base/limits.h"
#include "io/task.h"
#include "mail/urlkey.h"
#include "wire/quote.h"

static bool
offered(const struct imap_session *s)
{
    return s->host.ops->users != NULL;
}

// Does another URL come behind these n?
static bool
has_more(struct parse *p, size_t n)
{
    bool more = !p->bad && !parse_at_end(p);
    if (more && n == LIMIT_urls)
        parse_fail_kind(p, FAULT_LIMIT, "too many URLs in one command");
    return more && n < LIMIT_urls;
}

static void
parse_mechanism(struct parse *p)
{
    if (!span_ieq(parse_atom(p), SPAN("INTERNAL")))
        parse_fail_kind(p, FAULT_CANNOT, "unknown authorization mechanism");
}

// ---- RESETKEY ----

static void
changed_elsewhere(struct imap_session *other, void *arg)
{
    const struct mailbox_ref *ref = arg;
    if (!imap_is_selected(other, ref->mailbox))
        return;
    other->due.key = true;
    imap_session_poke(other);
}

static enum result
reset_one(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse;
    struct urlkey key;
    parse_sp(p);
    c->name = parse_mailbox(p);
    while (!parse_at_end(p) && !p->bad) {
        parse_sp(p);
        parse_mechanism(p);
    }
    if (parse_end(p, f) != R_OK || imap_mailbox_access(c, RIGHT_LOOKUP, f) != R_OK ||
        urlkey_make(c->session->user, &c->ref, true, &key, f) != R_OK)
        return R_FAIL;
    imap_session_others(c->session, changed_elsewhere, &c->ref);
    imap_answer(c, "[URLMECH INTERNAL] Key of the mailbox is new");
    return R_OK;
}

static enum result
run_reset(struct imap_command *c, struct fault *f)
{
    if (!parse_at_end(&c->parse))
        return reset_one(c, f);
    if (urlkey_forget(c->session->user, f) != R_OK)
        return R_FAIL;
    imap_answer(c, "All keys removed");
    return R_OK;
}

static void
send_mechanisms(struct imap_session *s)
{
    imap_untagged(s, "OK [URLMECH INTERNAL] Mechanisms of URLAUTH");
}

static enum result
on_select(struct imap_command *c, const struct view_info *v, struct fault *f)
{
    (void)v;
    (void)f;
    if (offered(c->session))
        send_mechanisms(c->session);
    return R_OK;
}

static void
on_sync(struct imap_session *s, struct arena *a)
{
    (void)a;
    if (!s->due.key)
        return;
    s->due.key = false;
    send_mechanisms(s);
}

// ---- GENURLAUTH ----

// Another's key table is nobody's business: such URLs are refused whether there is such a user or not.
static enum result
check_rump(struct imap_session *s, const struct url *url, struct fault *f)
{
    bool rump = url->host.p && url->user.p && url->auth.access != URL_ACCESS_NONE &&
                !url->auth.token.p;
    if (!rump || !s->host.ops->users->is_here(url->host, url->port, s->host.arg))
        return fault_set(f, FAULT_BAD, "no rump of an URL of this server");
    enum result r = s->host.ops->users->is_own(url->user, s->host.arg, f);
    return r == R_NONE ? fault_set(f, FAULT_BAD, "URL of another user") : r;
}

static enum result
authorise(struct imap_session *s, struct span text, struct arena *a, struct buf *b,
          struct fault *f)
{
    struct url url;
    struct mailbox_ref ref;
    struct view *view = NULL;
    struct view_info info;
    struct urlkey key, server;
    char token[URLKEY_WHOLE];
    if (text.n > LIMIT_url || url_parse(text, a, &url, f) != R_OK)
        return fault_set(f, FAULT_BAD, "no URL of a message");
    if (check_rump(s, &url, f) != R_OK)
        return R_FAIL;
    enum result r = mail_url_mailbox(s->user, &url, &ref, &view, f);
    if (r != R_OK)
        return r == R_NONE ? fault_set(f, FAULT_BAD, "URL of no mailbox") : R_FAIL;
    view_info(view, &info);
    view_close(&view);
    if (urlkey_server_make(account_mail(mail_user_account(s->user)), &server, f) != R_OK ||
        urlkey_make(s->user, &ref, false, &key, f) != R_OK)
        return R_FAIL;
    urlkey_seal(&server, text, token);
    urlkey_token(&key, info.uidvalidity, text, token + URLKEY_SEAL);
    buf_put(b, text);
    buf_put_str(b, ":internal:");
    buf_put(b, span_of(token, sizeof token));
    return R_OK;
}

static enum result
put_authorised(struct imap_command *c, struct span text, struct buf *line, struct fault *f)
{
    struct buf url;
    buf_init(&url, LIMIT_url);
    enum result r = authorise(c->session, text, c->arena, &url, f);
    if (r == R_OK && url.over)
        r = fault_set(f, FAULT_LIMIT, "with its token the URL has more than %d octets",
                      LIMIT_url);
    if (r == R_OK) {
        buf_put_char(line, ' ');
        quote_astring(line, buf_span(&url), false);
    }
    buf_done(&url);
    return r;
}

static enum result
run_generate(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse;
    struct span *urls = arena_array(c->arena, LIMIT_urls, sizeof *urls);
    struct buf line;
    enum result r = R_OK;
    size_t n = 0;
    do {
        parse_sp(p);
        urls[n++] = parse_astring(p);
        parse_sp(p);
        parse_mechanism(p);
    } while (has_more(p, n));
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    buf_init(&line, LIMIT_answer_line);
    for (size_t i = 0; i < n && r == R_OK; i++)
        r = put_authorised(c, urls[i], &line, f);
    if (r == R_OK) {
        buf_put_str(imap_line(c->session), "* GENURLAUTH");
        buf_put(&c->session->line, buf_span(&line));
        imap_line_send(c->session);
    }
    buf_done(&line);
    return r;
}

// ---- URLFETCH ----

enum fetch_item { ITEM_BODY = 1, ITEM_BINARY = 2, ITEM_STRUCTURE = 4 };

struct fetch_url {
    struct span text;
    unsigned items;  // enum fetch_item; 0: the octets alone (RFC 4467)
};

static const struct {
    const char *name;
    unsigned item;
} fetch_items[] = {
    {"BODY", ITEM_BODY},
    {"BINARY", ITEM_BINARY},
    {"BODYPARTSTRUCTURE", ITEM_STRUCTURE},
};

static void
parse_item(struct parse *p, struct fetch_url *u)
{
    struct span name = parse_atom(p);
    unsigned item = 0;
    for (size_t i = 0; i < sizeof fetch_items / sizeof *fetch_items; i++)
        if (span_ieq(name, span_str(fetch_items[i].name)))
            item = fetch_items[i].item;
    if (item == 0 || (u->items & item))
        parse_fail(p, "unknown parameter of URLFETCH, or twice");
    u->items |= item;
    if ((u->items & ITEM_BODY) && (u->items & ITEM_BINARY))
        parse_fail(p, "BODY and BINARY");
}

static void
parse_url(struct parse *p, struct fetch_url *u)
{
    bool list = parse_try(p, '(');
    u->text = parse_astring(p);
    while (list && parse_try(p, ' '))
        parse_item(p, u);
    if (list)
        parse_char(p, ')');
}

// What is sent of one URL: made before its line begins, so that a message that cannot be read costs its answer alone.
struct fetched {
    struct mail_url url;
    struct mail_part_window window;
    bool decoded, has_octets;
    struct span structure;
};

// The octets without transfer encoding, where that can be taken off.
static enum result
measure(struct fetched *d, unsigned items, struct fault *f)
{
    d->decoded = items & ITEM_BINARY;
    d->has_octets = items != ITEM_STRUCTURE;
    enum result r =
        mail_part_measure(&d->url.part, d->decoded, d->url.arena, &d->window, f);
    if (r == R_OK || f->kind != FAULT_UNKNOWNCTE)
        return r;
    d->decoded = d->has_octets = false;
    return R_OK;
}

// What is no part by itself is a header: text/rfc822-headers.
static void
header_structure(struct fetched *d)
{
    struct buf b;
    buf_init(&b, 128);
    buf_printf(&b,
               "(\"text\" \"rfc822-headers\" NIL NIL NIL \"%s\" %llu %u NIL NIL NIL NIL)",
               d->decoded ? "binary" : "8bit", (unsigned long long)d->window.size,
               d->window.lines);
    d->structure = arena_dup(d->url.arena, buf_span(&b));
    buf_done(&b);
}

static enum result
part_structure(struct imap_session *s, struct fetched *d, struct fault *f)
{
    const struct section *section = &d->url.section;
    struct mime_range size = {0, d->window.size, d->window.lines};
    bool all = section->kind == SECTION_ALL;
    struct message_part part = {section->parts, section->part_count, imap_utf8(s),
                                d->decoded && all ? &size : NULL};
    if (!all && section->kind != SECTION_TEXT) {
        header_structure(d);
        return R_OK;
    }
    return message_part_structure(d->url.part.mail, &d->url.row, &part, d->url.arena,
                                  &d->structure, f);
}

static enum result
prepare(struct imap_session *s, const struct fetch_url *u, struct fetched *d,
        struct fault *f)
{
    const struct mail_url_reader who = imap_url_reader(s);
    enum result r = mail_url_open(&who, u->text, MAIL_URL_FETCH, &d->url, f);
    if (r != R_OK)
        return r;
    r = measure(d, u->items, f);
    if (r == R_OK && (u->items & ITEM_STRUCTURE))
        r = part_structure(s, d, f);
    if (r != R_OK)
        mail_url_close(&d->url);
    return r;
}

// nstring, or literal8 where a NUL must travel.
static enum result
send_octets(struct imap_session *s, struct fetched *d, struct fault *f)
{
    struct imap_part_send how = {.decoded = d->decoded, .plain = !d->decoded};
    bool literal8 = d->decoded && d->window.nul;
    buf_printf(&s->line, "%s{%llu}\r\n", literal8 ? "~" : "",
               (unsigned long long)d->window.left);
    imap_line_flush(s);
    if (imap_part_send(s, &d->url.part, &how, d->url.arena, &d->window, f) == R_OK)
        return R_OK;
    imap_bye(s, "A message could not be read to its end.");
    return fault_set(f, FAULT_CLOSED, "message damaged while it was sent");
}

static enum result
send_items(struct imap_session *s, unsigned items, struct fetched *d, struct fault *f)
{
    struct buf *b = &s->line;
    if (items & ITEM_STRUCTURE) {
        buf_put_str(b, "(BODYPARTSTRUCTURE ");
        buf_put(b, d->structure);
        buf_put_char(b, ')');
    }
    if (items == ITEM_STRUCTURE)
        return R_OK;
    if (items & ITEM_STRUCTURE)
        buf_put_char(b, ' ');
    if (items != 0)
        buf_put_str(b, items & ITEM_BINARY ? "(BINARY " : "(BODY ");
    if (!d->has_octets)
        buf_put_str(b, "NIL");
    else if (send_octets(s, d, f) != R_OK)
        return R_FAIL;
    if (items != 0)
        buf_put_char(&s->line, ')');
    return R_OK;
}

static enum result
send_url(struct imap_session *s, const struct fetch_url *u, struct fault *f)
{
    struct fetched d = {.decoded = false};
    enum result r = prepare(s, u, &d, f);
    if (r == R_FAIL)
        return R_FAIL;
    struct buf *b = imap_line(s);
    buf_put_str(b, "* URLFETCH ");
    quote_astring(b, u->text, imap_utf8(s));
    buf_put_char(b, ' ');
    if (r == R_NONE) {
        buf_put_str(b, "NIL");
        imap_line_send(s);
        return R_OK;
    }
    r = send_items(s, u->items, &d, f);
    if (r == R_OK)
        imap_line_send(s);
    mail_url_close(&d.url);
    return r;
}

static enum result
run_fetch(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse;
    struct fetch_url *urls = arena_array(c->arena, LIMIT_urls, sizeof *urls);
    size_t n = 0;
    do {
        parse_sp(p);
        parse_url(p, &urls[n++]);
    } while (has_more(p, n));
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++) {
        if (send_url(c->session, &urls[i], f) != R_OK)
            return R_FAIL;
        task_yield();
    }
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"RESETKEY", ARGS_OWN, IMAP_ANY, 0, 0, run_reset},
    {"GENURLAUTH", ARGS_OWN, IMAP_ANY, 0, 0, run_generate},
    {"URLFETCH", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_fetch},
    {.name = NULL},
};

const struct imap_ext imap_ext_urlauth = {
    .name = "urlauth",
    .rfc = "RFC 4467, RFC 5524",
    .capability = "URLAUTH URLAUTH=BINARY",
    .offered = offered,
    .verbs = verbs,
    .on_select = on_select,
    .on_sync = on_sync,
};
