// RFC 2971: ID. What the client tells goes to the log. While the server is overloaded Apple's background downloads are
// asked to come back another day (technote TN3189).
#include "imap/response.h"

#include "base/keep.h"
#include "base/limits.h"
#include "base/load.h"
#include "base/log.h"
#include "imap/background.h"
#include "wire/client_id.h"

#include <stdatomic.h>

static atomic_bool shed;

void
imap_background_shed(bool on)
{
    shed = on;
}

static void
put_field(struct buf *text, struct span field, struct span value)
{
    if (text->n > 0)
        buf_put_str(text, ", ");
    buf_put(text, field);
    buf_put_char(text, '=');
    buf_put(text, value);
}

// For `who`, on one line.
static void
note_client(struct imap_session *s, const struct client_id *id, struct span text)
{
    struct buf b;
    log_info("imap", "ID sent", log_session(s->id), field_text("id", ": %", text));
    buf_init(&b, LIMIT_client_name);
    buf_put(&b, span_slice(id->name, 0, LIMIT_client_name / 2));
    if (id->version.n > 0)
        buf_put_char(&b, ' ');
    buf_put(&b, span_slice(id->version, 0, LIMIT_client_name / 4));
    for (size_t i = 0; i < b.n; i++)
        b.p[i] = (unsigned char)b.p[i] < ' ' || b.p[i] == 0x7f ? '?' : b.p[i];
    keep_cstr_free(&s->client);
    s->client = b.n > 0 ? keep_cstr(buf_span(&b)) : NULL;
    buf_done(&b);
}

static void
fields_parse(struct parse *p, struct buf *text, struct client_id *id)
{
    unsigned count = 0;
    parse_list_open(p);
    while (parse_list_next(p)) {
        struct span field = parse_string(p);
        parse_sp(p);
        struct span value = parse_nstring(p);
        if (++count > LIMIT_id_fields || field.n > LIMIT_id_value ||
            value.n > LIMIT_id_value)
            parse_fail(p, "ID too long");
        if (p->bad)
            return;
        put_field(text, field, value);
        client_id_note(id, field, value);
    }
}

void
imap_client_known(struct imap_session *s, struct span pairs)
{
    struct buf list, text;
    struct client_id id = {0};
    struct parse p;
    if (pairs.n == 0)
        return;
    struct arena *a = arena_new_small();
    buf_init(&list, LIMIT_client_id + 2);
    buf_init(&text, LIMIT_id_value);
    buf_put_char(&list, '(');
    buf_put(&list, pairs);
    buf_put_char(&list, ')');
    parse_init(&p, buf_span(&list), a, true);
    fields_parse(&p, &text, &id);
    if (!p.bad)
        note_client(s, &id, buf_span(&text));
    buf_done(&text);
    buf_done(&list);
    arena_free(&a);
}

static enum result
run_id(struct imap_command *c, struct fault *f)
{
    struct buf text;
    struct client_id id = {0};
    buf_init(&text, LIMIT_id_value);
    parse_sp(&c->parse);
    if (!parse_try_word(&c->parse, "NIL"))
        fields_parse(&c->parse, &text, &id);
    enum result r = parse_end(&c->parse, f);
    if (r == R_OK && text.n > 0)
        note_client(c->session, &id, buf_span(&text));
    buf_done(&text);
    if (r == R_OK && shed && client_id_is_background(&id) && load_is_high())
        return fault_set(f, FAULT_UNAVAILABLE, "too busy for downloads in the background");
    if (r == R_OK)
        imap_untagged(c->session,
                      "ID (\"name\" \"Posthorn\" \"version\" \"" POSTHORN_VERSION "\")");
    return r;
}

static const struct imap_verb verbs[] = {
    {"ID", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_id},
    {.name = NULL},
};

const struct imap_ext imap_ext_id = {
    .name = "id",
    .rfc = "RFC 2971",
    .capability = "ID",
    .verbs = verbs,
};
