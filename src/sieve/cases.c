#include "sieve/cases.h"

enum { MESSAGES = 64, BLOCK_MAX = 1 << 22 };

struct reader {
    struct sieve_case c;
    struct {
        struct span name;
        struct buf text;
    } messages[MESSAGES];
    size_t n;
    struct buf *block;   // what indented lines go to
    struct buf stored;   // for tests/test_sieve_door.py
    struct span chosen;  // the message of the case
    void (*run)(const struct sieve_case *c);
};

static struct buf *
message(struct reader *r, struct span name)
{
    for (size_t i = 0; i < r->n; i++)
        if (span_eq(r->messages[i].name, name))
            return &r->messages[i].text;
    must(r->n < MESSAGES);
    r->messages[r->n].name = name;
    buf_init(&r->messages[r->n].text, BLOCK_MAX);
    return &r->messages[r->n++].text;
}

static void
end_case(struct reader *r)
{
    if (r->c.name.n == 0)
        return;
    buf_reset(&r->c.message);
    buf_put(&r->c.message, buf_span(message(r, r->chosen)));
    r->run(&r->c);
    buf_reset(&r->c.script);
    buf_reset(&r->c.want);
    buf_reset(&r->stored);
    r->c.name = SPAN_NONE;
    r->c.has_envelope = false;
    r->c.from = r->c.to = SPAN("");
    r->c.n_facts = 0;
}

static void
set_envelope(struct reader *r, struct span *which, struct span value)
{
    r->c.has_envelope = true;
    *which = span_eq(value, SPAN("<>")) ? SPAN("") : value;
}

static void
begin_message(struct reader *r, struct span name)
{
    if (r->c.name.n == 0)
        r->block = message(r, name);
    r->chosen = name;
}

static void
begin_case(struct reader *r, struct span name, unsigned line)
{
    end_case(r);
    r->c.name = name;
    r->c.line = line;
    r->block = NULL;
    r->chosen = r->n ? r->messages[0].name : SPAN("");
}

static void
put_want(struct reader *r, struct span line)
{
    buf_put(&r->c.want, line);
    buf_put_char(&r->c.want, '\n');
}

static void
word_line(struct reader *r, struct span line, unsigned number)
{
    size_t blank = span_find_char(line, ' ');
    struct span word = span_slice(line, 0, blank), rest = span_trim(span_skip(line, blank));
    if (span_eq(word, SPAN("case")))
        begin_case(r, rest, number);
    else if (span_eq(word, SPAN("message")))
        begin_message(r, rest);
    else if (span_eq(word, SPAN("from")))
        set_envelope(r, &r->c.from, rest);
    else if (span_eq(word, SPAN("to")))
        set_envelope(r, &r->c.to, rest);
    else if (span_eq(word, SPAN("script")))
        r->block = &r->c.script;
    else if (span_eq(word, SPAN("stored")))
        r->block = &r->stored;
    else if (span_eq(word, SPAN("want")))
        put_want(r, rest);
    else if (span_eq(word, SPAN("error")) || span_eq(word, SPAN("failed")))
        put_want(r, line);
    else if (span_eq(word, SPAN("fact")) && r->c.n_facts < CASE_FACTS)
        r->c.facts[r->c.n_facts++] = rest;
    else
        must(span_eq(word, SPAN("differs")) || span_eq(word, SPAN("skip")) ||
             span_eq(word, SPAN("door")) || span_starts(line, SPAN("#")) || line.n == 0);
}

// Indented lines belong to a block; an empty line within a block, too.
static void
take_line(struct reader *r, struct span line, unsigned number)
{
    bool indented = span_starts(line, SPAN("    "));
    if (indented || (line.n == 0 && r->block && r->block->n > 0)) {
        must(r->block != NULL);
        buf_put(r->block, span_skip(line, indented ? 4 : 0));
        buf_put_char(r->block, '\n');
        return;
    }
    if (line.n > 0)
        word_line(r, line, number);
}

void
sieve_cases_read(const char *folder, const char *file,
                 void (*run)(const struct sieve_case *c))
{
    struct reader *r = calloc(1, sizeof *r);
    struct buf text;
    char path[1024], chunk[4096];
    unsigned number = 0;
    size_t n;
    must(r != NULL);
    buf_init(&text, 1 << 24);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *in = fopen(path, "rbe");
    must(in != NULL);
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
        buf_put(&text, span_of(chunk, n));
    fclose(in);
    r->run = run;
    r->c.file = file;
    buf_init(&r->c.script, BLOCK_MAX);
    buf_init(&r->c.want, BLOCK_MAX);
    buf_init(&r->stored, BLOCK_MAX);
    buf_init(&r->c.message, BLOCK_MAX);
    struct span rest = buf_span(&text), line;
    while (span_next_field(&rest, '\n', &line) == R_OK)
        take_line(r, line, ++number);
    end_case(r);
    for (size_t i = 0; i < r->n; i++)
        buf_done(&r->messages[i].text);
    buf_done(&r->c.script);
    buf_done(&r->c.want);
    buf_done(&r->stored);
    buf_done(&r->c.message);
    buf_done(&text);
    free(r);
}

// The rest of the first fact that begins with these words; p is NULL: none.
static struct span
fact(const struct sieve_case *c, const char *words, struct span then)
{
    struct buf b;
    struct span found = SPAN_NONE;
    buf_init(&b, 4096);
    buf_put_str(&b, words);
    buf_put(&b, then);
    for (size_t i = 0; i < c->n_facts && found.p == NULL; i++) {
        struct span f = c->facts[i];
        if (span_starts(f, buf_span(&b)) && (f.n == b.n || f.p[b.n] == ' '))
            found = span_trim(span_skip(f, b.n));
    }
    buf_done(&b);
    return found;
}

static enum result
tell_fact(struct span found, struct span *out)
{
    if (found.p == NULL)
        return R_NONE;
    *out = found;
    return R_OK;
}

static enum result
mailbox_exists(void *arg, struct span name)
{
    return span_ieq(name, SPAN("INBOX")) || fact(arg, "mailbox ", name).p ? R_OK : R_NONE;
}

static enum result
is_own(void *arg, struct span address)
{
    return fact(arg, "own ", address).p ? R_OK : R_NONE;
}

static enum result
environment(void *arg, struct span item, struct span *out)
{
    return tell_fact(fact(arg, "environment ", item), out);
}

static enum result
envelope(void *arg, struct span part, struct span *out)
{
    return tell_fact(fact(arg, "envelope ", part), out);
}

static enum result
mailbox_with_id(void *arg, struct span id, struct span *out)
{
    return tell_fact(fact(arg, "id ", id), out);
}

static enum result
mailbox_with_use(void *arg, struct span mailbox, struct span use)
{
    struct span found = fact(arg, "use ", use);
    return found.p && (mailbox.p == NULL || span_eq(found, mailbox)) ? R_OK : R_NONE;
}

// "\n" stands for a line's end.
static struct span
lines_of(struct span s)
{
    static char text[4096];
    size_t n = 0;
    if (s.p == NULL)
        return s;
    must(s.n <= sizeof text);
    for (size_t i = 0; i < s.n; i++, n++) {
        bool end = s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == 'n';
        text[n] = end ? '\n' : s.p[i];
        i += end;
    }
    return span_of(text, n);
}

static enum result
metadata(void *arg, struct span mailbox, struct span entry, struct span *out)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "metadata %.*s%s", SPAN_ARG(mailbox), mailbox.n ? " " : "");
    buf_put_char(&b, '\0');
    struct span found = b.over ? SPAN_NONE : fact(arg, b.p, entry);
    buf_done(&b);
    return tell_fact(lines_of(found), out);
}

// "handled HANDLE ID"
static bool
is_handled(const struct sieve_case *c, struct span handle, struct span id)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_put_str(&b, "handled ");
    buf_put(&b, handle);
    buf_put_str(&b, " ");
    buf_put(&b, id);
    bool there = fact(c, "", buf_span(&b)).p != NULL;
    buf_done(&b);
    return there;
}

static enum result
duplicate(void *arg, struct span id, uint64_t seconds, bool last, bool *seen_out)
{
    uint64_t n = 0;
    size_t colon = span_find_char(id, ':');
    struct span rest = span_skip(id, colon + 1);
    (void)seconds, (void)last;
    if (colon < id.n && span_to_u64(span_slice(id, 0, colon), &n) == R_OK && n <= rest.n)
        *seen_out = is_handled(arg, span_slice(rest, 0, n), span_skip(rest, n));
    else
        *seen_out = fact(arg, "seen ", colon == 0 ? rest : id).p != NULL;
    return R_OK;
}

static enum result
verdict(void *arg, bool virus, unsigned *value_out, unsigned *percent_out)
{
    struct span found = fact(arg, virus ? "virus" : "spam", SPAN_NONE);
    uint32_t value = 0, percent = 0;
    size_t blank = span_find_char(found, ' ');
    if (found.p == NULL || span_to_u32(span_slice(found, 0, blank), &value) != R_OK)
        return R_NONE;
    if (blank < found.n && span_to_u32(span_skip(found, blank + 1), &percent) != R_OK)
        return R_NONE;
    *value_out = value;
    *percent_out = percent;
    return R_OK;
}

// "script personal NAME TEXT": a script on one line.
static enum result
script(void *arg, bool global, struct span name, struct span *out)
{
    return tell_fact(fact(arg, global ? "script global " : "script personal ", name), out);
}

void
sieve_case_world(struct arena *a, const struct sieve_case *c, struct sieve_world *out)
{
    sieve_world_of(a, buf_span(&c->message), out);
    if (fact(c, "stage event", SPAN_NONE).p)
        out->stage = SIEVE_EVENT;
    else if (fact(c, "stage asked", SPAN_NONE).p)
        out->stage = SIEVE_ASKED;
    out->flags = fact(c, "flags", SPAN_NONE);
    out->name = SPAN("main");
    out->has_envelope = c->has_envelope;
    out->from = c->from;
    out->to = c->to;
    out->now_s = 1780000000;  // 2026-05-28 20:26:40 UTC
    out->zone_min = 120;
    out->arg = (void *)(uintptr_t)c;
    out->envelope = envelope;
    out->environment = environment;
    out->mailbox_exists = mailbox_exists;
    out->mailbox_with_id = mailbox_with_id;
    out->mailbox_with_use = mailbox_with_use;
    out->metadata = metadata;
    out->duplicate = duplicate;
    out->verdict = verdict;
    out->script = script;
    out->is_own = fact(c, "own", SPAN_NONE).p ? is_own : NULL;
}
