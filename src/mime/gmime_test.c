// The same mail read by GMime: equal types, structure and content of every part.

#include "mime/mail_test.h"

#include <gmime/gmime.h>

// Where reading broken mail is a choice, and ours is another one.
static const struct {
    const char *name, *why;
} apart[] = {
        {"", ""},
};

struct check {
    struct span message;
    struct buf ours, theirs;
};

static bool
is_apart(const char *name)
{
    for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++)
        if (strcmp(apart[i].name, name) == 0)
            return true;
    return false;
}

static void
put_lower(struct buf *b, struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        buf_put_char(b, ascii_lower(s.p[i]));
}

// "multipart/mixed(text/plain[octets])"
static void
put_ours(struct check *c, const struct mime_part *part)
{
    struct buf *b = &c->ours;

    put_lower(b, part->type.p ? part->type : part->kind == MIME_KIND_MESSAGE ? SPAN("message") : SPAN("text"));
    buf_put_char(b, '/');
    put_lower(b, part->subtype.p ? part->subtype : part->kind == MIME_KIND_MESSAGE ? SPAN("rfc822") : SPAN("plain"));
    if (part->kind == MIME_KIND_LEAF) {
        buf_put_char(b, '[');
        buf_put(b, span_of(c->message.p + part->body.at, part->body.size));
        buf_put_char(b, ']');
        return;
    }
    buf_put_char(b, '(');
    for (const struct mime_part *child = part->child; child; child = child->next)
        put_ours(c, child);
    buf_put_char(b, ')');
}

static void
put_content(struct buf *b, GMimePart *part)
{
    GMimeDataWrapper *wrapper = g_mime_part_get_content(part);
    char chunk[4096];
    ssize_t n;

    buf_put_char(b, '[');
    if (wrapper) {
        GMimeStream *stream = g_mime_data_wrapper_get_stream(wrapper);
        g_mime_stream_reset(stream);
        while ((n = g_mime_stream_read(stream, chunk, sizeof(chunk))) > 0)
            buf_put(b, span_of(chunk, (size_t)n));
    }
    buf_put_char(b, ']');
}

static void
put_theirs(struct buf *b, GMimeObject *object)
{
    GMimeContentType *type = g_mime_object_get_content_type(object);

    put_lower(b, span_str(g_mime_content_type_get_media_type(type)));
    buf_put_char(b, '/');
    put_lower(b, span_str(g_mime_content_type_get_media_subtype(type)));
    if (GMIME_IS_MULTIPART(object)) {
        buf_put_char(b, '(');
        int n = g_mime_multipart_get_count((GMimeMultipart *)object);
        for (int i = 0; i < n; i++)
            put_theirs(b, g_mime_multipart_get_part((GMimeMultipart *)object, i));
        buf_put_char(b, ')');
    } else if (GMIME_IS_MESSAGE_PART(object)) {
        GMimeMessage *message = g_mime_message_part_get_message((GMimeMessagePart *)object);
        buf_put_char(b, '(');
        if (message && g_mime_message_get_mime_part(message))
            put_theirs(b, g_mime_message_get_mime_part(message));
        buf_put_char(b, ')');
    } else {
        put_content(b, (GMimePart *)object);
    }
}

static GMimeMessage *
read_theirs(struct span message)
{
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer(message.p, message.n);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);

    g_mime_parser_set_persist_stream(parser, TRUE);
    g_mime_parser_set_format(parser, GMIME_FORMAT_MESSAGE);
    GMimeMessage *parsed = g_mime_parser_construct_message(parser, NULL);
    g_object_unref(parser);
    g_object_unref(stream);
    return parsed;
}

static size_t seen, differing;

static void
compare(const char *name, struct span message)
{
    struct check c = {.message = message};
    struct arena *a = arena_new();
    GMimeMessage *theirs = read_theirs(message);

    buf_init(&c.ours, 1 << 28);
    buf_init(&c.theirs, 1 << 28);
    put_ours(&c, scan_in_cuts(a, message, 4096));
    if (theirs && g_mime_message_get_mime_part(theirs))
        put_theirs(&c.theirs, g_mime_message_get_mime_part(theirs));
    seen++;
    if (!span_eq(buf_span(&c.ours), buf_span(&c.theirs))) {
        differing++;
        if (!is_apart(name))
            print_message("%s differs\n--- ours\n%.300s\n--- GMime\n%.300s\n", name, c.ours.p, c.theirs.p ? c.theirs.p : "");
    }
    if (theirs)
        g_object_unref(theirs);
    buf_done(&c.ours);
    buf_done(&c.theirs);
    arena_free(&a);
}

static void
test_gmime_reads_the_same(void **state)
{
    (void)state;
    seen = differing = 0;
    assert_true(each_mail(MAIL_DIR, compare) > 60);
    print_message("%zu of %zu\n", differing, seen);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gmime_reads_the_same)};

    g_mime_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
