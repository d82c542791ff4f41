// The same mail read by GMime: equal types, structure and content of every part.

#include "mime/mail_test.h"

#include <gmime/gmime.h>

// Where broken mail may be read in two ways and GMime takes the other one.
static const struct {
    const char *name, *why;
} apart[] = {
    {"boundary-at-once.eml", "parts without header and body are parts"},
    {"duplicate-fields.eml", "of several Content-Type fields the first counts"},
    {"empty-fields.eml", "RFC 2045 section 5.2: a broken type is text/plain"},
    {"empty.eml", "an empty message has an empty text/plain body"},
    {"many-levels.eml", "LIMIT_mime_depth"},
    {"many-messages.eml", "LIMIT_mime_depth"},
    {"message-base64.eml", "RFC 2046 section 5.2.1: message/rfc822 is never encoded"},
    {"message-empty.eml", "IMAP needs a structure inside every message/rfc822"},
    {"starts-with-space.eml", "a header may begin with a broken line"},
    {"type-broken-1.eml", "RFC 2045 section 5.2: a broken type is text/plain"},
    {"type-broken-3.eml", "RFC 2045 section 5.2: a broken type is text/plain"},
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

    put_lower(b, part->type.p                      ? part->type
                 : part->kind == MIME_KIND_MESSAGE ? SPAN("message")
                                                   : SPAN("text"));
    buf_put_char(b, '/');
    put_lower(b, part->subtype.p                   ? part->subtype
                 : part->kind == MIME_KIND_MESSAGE ? SPAN("rfc822")
                                                   : SPAN("plain"));
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

static bool
reads_the_same(const char *name, struct span message)
{
    struct check c = {.message = message};
    struct arena *a = arena_new();
    GMimeMessage *theirs = read_theirs(message);

    buf_init(&c.ours, 1 << 28);
    buf_init(&c.theirs, 1 << 28);
    put_ours(&c, scan_in_cuts(a, message, 4096));
    if (theirs && g_mime_message_get_mime_part(theirs))
        put_theirs(&c.theirs, g_mime_message_get_mime_part(theirs));
    bool same = span_eq(buf_span(&c.ours), buf_span(&c.theirs));
    if (!same && !is_apart(name))
        print_message("%s differs\n--- ours\n%.*s\n--- GMime\n%.*s\n", name,
                      SPAN_ARG(span_slice(buf_span(&c.ours), 0, 300)),
                      SPAN_ARG(span_slice(buf_span(&c.theirs), 0, 300)));
    if (theirs)
        g_object_unref(theirs);
    buf_done(&c.ours);
    buf_done(&c.theirs);
    arena_free(&a);
    return same;
}

static void
check_mail(const char *name, struct span message)
{
    if (reads_the_same(name, message) == is_apart(name))
        fail_msg("%s: %s", name,
                 is_apart(name) ? "is read the same now" : "is read differently");
}

static void
test_gmime_reads_the_same(void **state)
{
    (void)state;
    assert_true(each_mail(MAIL_DIR, check_mail) > 60);
}

// Real mail, when MAIL_CORPUS names a folder of it: at most 0.5 % may differ.
static size_t differing;

static void
count_differing(const char *name, struct span message)
{
    differing += !reads_the_same(name, message);
}

static void
test_gmime_reads_real_mail(void **state)
{
    (void)state;
    const char *folder = getenv("MAIL_CORPUS");

    if (!folder) {
        skip();
        return;
    }
    size_t seen = each_mail(folder, count_differing);
    print_message("%zu of %zu differ\n", differing, seen);
    assert_true(seen > 0 && differing * 200 <= seen);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gmime_reads_the_same),
        cmocka_unit_test(test_gmime_reads_real_mail),
    };

    g_mime_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
