#include "mail/sent_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct sent_scene
sent_scene_new(struct fixture *x)
{
    return (struct sent_scene){x, fixture_user(x, 7, "ann"), arena_new()};
}

void
sent_scene_done(struct sent_scene *s)
{
    mail_user_close(&s->user);
    arena_free(&s->arena);
}

struct intake *
sent_scene_taken(struct sent_scene *s, const char *text)
{
    struct intake *in = intake_begin(s->x->mail);
    struct fault f = {0};
    assert_int_equal(intake_write(in, span_str(text), &f), R_OK);
    assert_int_equal(intake_finish(in, &f), R_OK);
    return in;
}

struct sent_result
sent_scene_submit_as(struct sent_scene *s, const char *text, const char *client,
                     bool id_added)
{
    struct intake *in = sent_scene_taken(s, text),
                  *theirs = sent_scene_taken(s, client ? client : text);
    struct sent_message m = {.intake = in, .id_added = id_added};
    struct sent_result out;
    struct fault f = {0};
    if (client)
        m.client_hash = intake_hash(theirs);
    assert_int_equal(sent_file(s->user, &m, &out, &f), R_OK);
    intake_free(&in);
    intake_free(&theirs);
    return out;
}

struct sent_result
sent_scene_submit(struct sent_scene *s, const char *text)
{
    return sent_scene_submit_as(s, text, NULL, false);
}

struct intake_result
sent_scene_append(struct sent_scene *s, const char *mailbox, const char *text,
                  uint16_t flags, const char *keyword)
{
    struct mailbox_ref ref = fixture_ref(s->user, mailbox);
    struct intake *in = sent_scene_taken(s, text);
    struct span name = span_str(keyword ? keyword : "");
    struct intake_item item = {
        in, {.flags = flags, .keywords = &name, .keyword_count = keyword != NULL}};
    struct intake_batch batch = {.items = &item, .n = 1, .by_client = true};
    struct intake_result out;
    struct fault f = {0};
    assert_int_equal(intake_commit_all(&batch, &ref, &out, &f), R_OK);
    intake_free(&in);
    return out;
}

size_t
sent_scene_look(struct sent_scene *s, const char *mailbox,
                struct view_message out[SENT_SCENE_MOST])
{
    struct mailbox_ref ref = fixture_ref(s->user, mailbox);
    struct view *v;
    struct view_cursor c;
    size_t n = 0, got = 0;
    struct fault f = {0};
    assert_int_equal(view_open(&ref, true, NULL, NULL, &v, &f), R_OK);
    assert_int_equal(view_cursor_init(&c, v, NULL, true, &f), R_OK);
    while (view_next(&c, out + n, SENT_SCENE_MOST - n, &got, &f) == R_OK)
        n += got;
    view_close(&v);
    return n;
}

size_t
sent_scene_count(struct sent_scene *s, const char *mailbox)
{
    struct view_message m[SENT_SCENE_MOST];
    return sent_scene_look(s, mailbox, m);
}
