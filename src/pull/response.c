#include "pull/response.h"

#include "base/limits.h"
#include "wire/parse.h"

// ---- words ----

static struct span
rest_of_line(struct parse *p)
{
    struct span rest = span_trim(span_skip(p->in, p->at));
    p->at = p->in.n;
    return rest;
}

static uint32_t
cap_of(struct span word)
{
    static const struct span texts[] = {
#define CAP(id, text) SPAN(text),
#include "pull/caps.def"
#undef CAP
    };
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        if (span_ieq(word, texts[i]))
            return 1U << i;
    return 0;
}

static uint32_t
read_caps(struct span words)
{
    struct span word;
    uint32_t caps = 0;
    while (span_next_field(&words, ' ', &word) == R_OK)
        caps |= cap_of(word);
    return caps & PULL_CAP(QRESYNC) ? caps | PULL_CAP(CONDSTORE) : caps;
}

// ---- OK, NO, BAD, BYE, PREAUTH ----

static const struct {
    struct span word;
    enum response_code code;
} codes[] = {
    {SPAN("UIDVALIDITY"), CODE_UIDVALIDITY},
    {SPAN("UIDNEXT"), CODE_UIDNEXT},
    {SPAN("HIGHESTMODSEQ"), CODE_HIGHESTMODSEQ},
    {SPAN("CAPABILITY"), CODE_CAPABILITY},
    {SPAN("ALERT"), CODE_ALERT},
    {SPAN("UNAVAILABLE"), CODE_UNAVAILABLE},
    {SPAN("INUSE"), CODE_UNAVAILABLE},
    {SPAN("LIMIT"), CODE_UNAVAILABLE},
    {SPAN("THROTTLED"), CODE_UNAVAILABLE},
    {SPAN("OVERQUOTA"), CODE_UNAVAILABLE},
};

static void
read_code(struct span code, struct response *r)
{
    struct span word = span_slice(code, 0, span_find_char(code, ' '));
    struct span value = span_trim(span_skip(code, word.n));
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (span_ieq(word, codes[i].word))
            r->code = codes[i].code;
    if (r->code == CODE_CAPABILITY)
        r->caps = read_caps(value);
    else if (span_to_u64(value, &r->number) != R_OK)
        r->number = 0;
}

static void
read_text(struct parse *p, struct response *r)
{
    r->text = rest_of_line(p);
    size_t close = span_find_char(r->text, ']');
    if (!span_starts(r->text, SPAN("[")) || close == r->text.n)
        return;
    read_code(span_slice(r->text, 1, close), r);
    if (span_trim(span_skip(r->text, close + 1)).n > 0)
        r->text = span_trim(span_skip(r->text, close + 1));
}

static bool
read_condition(struct parse *p, struct response *r)
{
    static const char *const words[] = {"OK", "NO", "BAD", "BYE", "PREAUTH"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (parse_try_word(p, words[i])) {
            r->condition = (enum response_condition)i;
            read_text(p, r);
            return true;
        }
    return false;
}

// ---- lists of words ----

static void
add_word(struct parse *p, struct words *w, struct span word)
{
    if (w->n >= LIMIT_keywords)
        return;
    if (w->n == w->room) {
        w->room = w->room ? w->room * 2 : 8;
        struct span *grown = arena_array(p->arena, w->room, sizeof *grown);
        if (w->n > 0)
            memcpy(grown, w->items, w->n * sizeof *grown);
        w->items = grown;
    }
    w->items[w->n++] = word;
}

// ---- LIST, STATUS, NAMESPACE ----

// Up to a space or a parenthesis: servers put into flags what no atom has.
static struct span
take_flag(struct parse *p)
{
    size_t from = p->at;
    while (parse_peek(p) != '\0' && strchr(" ()\r\n", parse_peek(p)) == NULL)
        p->at++;
    if (p->at == from)
        parse_fail(p, "no flag");
    return span_slice(p->in, from, p->at);
}

static char
take_delimiter(struct parse *p)
{
    struct span d = parse_nstring(p);
    return d.n == 1 ? d.p[0] : '\0';
}

static void
read_attribute(struct span a, struct response *r)
{
    static const struct span plain[] = {SPAN("\\HasChildren"), SPAN("\\HasNoChildren"),
                                        SPAN("\\Marked"),      SPAN("\\Unmarked"),
                                        SPAN("\\NoInferiors"), SPAN("\\Remote")};
    if (span_ieq(a, SPAN("\\NoSelect")) || span_ieq(a, SPAN("\\NonExistent")))
        r->attributes |= LIST_NOSELECT;
    else if (span_ieq(a, SPAN("\\Subscribed")))
        r->attributes |= LIST_SUBSCRIBED;
    else {
        for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
            if (span_ieq(a, plain[i]))
                return;
        r->use = a;
    }
}

static void
read_list(struct parse *p, struct response *r, enum response_kind kind)
{
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p))
        read_attribute(take_flag(p), r);
    parse_sp(p);
    r->delimiter = take_delimiter(p);
    parse_sp(p);
    r->name = parse_astring(p);
    (void)rest_of_line(p);  // RFC 5258: extended data
    r->kind = kind;
}

static void
read_status(struct parse *p, struct response *r)
{
    struct pull_mailbox *m = &r->status;
    parse_sp(p);
    r->name = parse_astring(p);
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p)) {
        struct span item = parse_word(p);
        parse_sp(p);
        if (span_ieq(item, SPAN("MESSAGES")))
            m->messages = parse_number(p);
        else if (span_ieq(item, SPAN("UIDNEXT")))
            m->uidnext = parse_number(p);
        else if (span_ieq(item, SPAN("UIDVALIDITY")))
            m->uidvalidity = parse_number(p);
        else if (span_ieq(item, SPAN("HIGHESTMODSEQ")))
            m->modseq = parse_number64(p);
        else
            (void)parse_skip_value(p);
    }
    (void)rest_of_line(p);
    r->kind = RESPONSE_STATUS;
}

// One of the three: NIL, or (("INBOX." ".") ("x/" "/" "EXTENSION" ("y"))).
static void
read_spaces(struct parse *p, struct words *prefixes)
{
    if (parse_try_word(p, "NIL"))
        return;
    parse_char(p, '(');
    while (!p->bad && parse_try(p, '(')) {
        add_word(p, prefixes, parse_string(p));
        parse_sp(p);
        (void)take_delimiter(p);
        while (parse_try(p, ' '))
            (void)parse_skip_value(p);
        parse_char(p, ')');
        (void)parse_try(p, ' ');
    }
    parse_char(p, ')');
}

// RFC 2342 section 5: the user's own, those of other users, shared ones.
static void
read_namespace(struct parse *p, struct response *r)
{
    parse_sp(p);
    read_spaces(p, &r->own);
    parse_sp(p);
    read_spaces(p, &r->others);
    parse_sp(p);
    read_spaces(p, &r->others);
    r->kind = RESPONSE_NAMESPACE;
}

// ---- FETCH ----

static uint16_t
flag_of(struct span word)
{
    static const struct {
        struct span word;
        uint16_t flag;
    } rows[] = {{SPAN("\\Seen"), PULL_SEEN},
                {SPAN("\\Answered"), PULL_ANSWERED},
                {SPAN("\\Flagged"), PULL_FLAGGED},
                {SPAN("\\Deleted"), PULL_DELETED},
                {SPAN("\\Draft"), PULL_DRAFT}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (span_ieq(word, rows[i].word))
            return rows[i].flag;
    return 0;
}

static void
read_flags(struct parse *p, struct response *r, struct words *w)
{
    r->has_flags = true;
    parse_list_open(p);
    while (parse_list_next(p)) {
        struct span word = take_flag(p);
        r->message.flags |= flag_of(word);
        if (!span_starts(word, SPAN("\\")))
            add_word(p, w, word);
    }
}

static void
read_date(struct parse *p, struct pull_message *m)
{
    struct date_time t;
    struct span text = parse_nstring(p);
    if (p->bad || date_time_parse(text, &t) != R_OK)
        return;
    m->has_date = true;
    m->date = t.utc_s;
    m->zone_min = t.zone_min;
}

static void
read_body(struct parse *p, struct response *r)
{
    if (parse_try_text(p, "[] ")) {
        r->has_body = true;
        r->body = parse_nstring(p);
    } else {
        while (parse_peek(p) != ' ' && parse_peek(p) != '\0')
            p->at++;
        parse_sp(p);
        (void)parse_skip_value(p);
    }
}

// Strings or atoms: Gmail writes "\\Inbox" with quotes, and some others \Inbox without.
static void
read_labels(struct parse *p, struct response *r)
{
    struct words labels = {0};
    parse_list_open(p);
    while (parse_list_next(p)) {
        char c = parse_peek(p);
        add_word(p, &labels, c == '"' || c == '{' ? parse_string(p) : take_flag(p));
    }
    r->message.labels = labels.items;
    r->message.label_count = labels.n;
}

// \Important is a label of X-GM-EXT-1 that is a keyword elsewhere (RFC 8457).
static void
take_important(struct parse *p, const struct pull_message *m, struct words *keywords)
{
    bool important = false;
    for (size_t i = 0; i < m->label_count; i++)
        important |= span_ieq(m->labels[i], SPAN("\\Important"));
    for (size_t i = 0; i < keywords->n; i++)
        important &= !span_ieq(keywords->items[i], SPAN("$Important"));
    if (important)
        add_word(p, keywords, SPAN("$Important"));
}

static void
read_emailid(struct parse *p, struct response *r)
{
    parse_char(p, '(');
    r->message.id = parse_atom(p);
    parse_char(p, ')');
}

static void
read_item(struct parse *p, struct response *r, struct words *w)
{
    struct span item = parse_word(p);
    if (span_ieq(item, SPAN("BODY")) && parse_peek(p) == '[') {
        read_body(p, r);
        return;
    }
    parse_sp(p);
    if (span_ieq(item, SPAN("UID"))) {
        r->message.uid = parse_nz_number(p);
        r->has_uid = true;
    } else if (span_ieq(item, SPAN("FLAGS")))
        read_flags(p, r, w);
    else if (span_ieq(item, SPAN("INTERNALDATE")))
        read_date(p, &r->message);
    else if (span_ieq(item, SPAN("RFC822.SIZE")))
        r->message.size = parse_number64(p), r->has_size = true;
    else if (span_ieq(item, SPAN("EMAILID")))
        read_emailid(p, r);
    else if (span_ieq(item, SPAN("X-GM-MSGID")))
        r->message.id = parse_atom(p);
    else if (span_ieq(item, SPAN("X-GUID")))
        r->message.guid = parse_astring(p);
    else if (span_ieq(item, SPAN("X-GM-LABELS")))
        read_labels(p, r);
    else
        (void)parse_skip_value(p);
}

static void
read_fetch(struct parse *p, struct response *r)
{
    struct words w = {0};
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p))
        read_item(p, r, &w);
    take_important(p, &r->message, &w);
    r->message.keywords = w.items;
    r->message.keyword_count = w.n;
    r->kind = RESPONSE_FETCH;
}

// ---- all ----

static void
read_numbered(struct parse *p, struct response *r)
{
    r->number = parse_number(p);
    parse_sp(p);
    if (parse_try_word(p, "EXISTS"))
        r->kind = RESPONSE_EXISTS;
    else if (parse_try_word(p, "EXPUNGE"))
        r->kind = RESPONSE_EXPUNGE;
    else if (parse_try_word(p, "FETCH"))
        read_fetch(p, r);
    (void)rest_of_line(p);
}

static void
read_untagged(struct parse *p, struct response *r)
{
    if (ascii_is_digit(parse_peek(p)))
        read_numbered(p, r);
    else if (read_condition(p, r))
        r->kind = RESPONSE_STATE;
    else if (parse_try_word(p, "LIST"))
        read_list(p, r, RESPONSE_LIST);
    else if (parse_try_word(p, "LSUB"))
        read_list(p, r, RESPONSE_LSUB);
    else if (parse_try_word(p, "STATUS"))
        read_status(p, r);
    else if (parse_try_word(p, "NAMESPACE"))
        read_namespace(p, r);
    else if (parse_try_word(p, "CAPABILITY")) {
        r->caps = read_caps(rest_of_line(p));
        r->kind = RESPONSE_CAPABILITY;
    } else
        (void)rest_of_line(p);
}

enum result
response_read(struct span text, struct arena *a, struct response *out, struct fault *f)
{
    struct parse p;
    struct response r = {0};
    parse_init(&p, text, a, false);
    if (parse_try(&p, '+')) {
        r.kind = RESPONSE_CONTINUE;
        r.text = rest_of_line(&p);
    } else if (parse_try_text(&p, "* ")) {
        read_untagged(&p, &r);
    } else {
        r.tag = parse_tag(&p);
        parse_sp(&p);
        r.kind = RESPONSE_TAGGED;
        if (!p.bad && !read_condition(&p, &r))
            parse_fail(&p, "neither OK nor NO");
    }
    if (parse_end(&p, f) != R_OK)
        return R_FAIL;
    *out = r;
    return R_OK;
}
