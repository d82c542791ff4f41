#include "mail/sent_scene.h"

#include "mail/change.h"
#include "mail/message.h"

#include "io/task.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

// The copy in Sent beside a model, under races, over a restart.

// ---- a model ----

// Two clients and submission in any order: what is in Sent is what the model says.
enum { IDS = 4, FORMS = 3, STEPS = 400 };
struct model {
    struct entry {
        unsigned id, form;
        bool own;
    } p[SENT_SCENE_MOST];
    size_t n;
};

static void
text_of(unsigned id, unsigned form, char out[200])
{
    snprintf(out, 200, "Message-ID: <x%u@a>\r\nSubject: s%u\r\n%s\r\nform %u\r\n", id, id,
             form ? "Bcc: b@a\r\n" : "", form);
}

static size_t
model_find(const struct model *m, unsigned id, bool own)
{
    size_t i = 0;
    while (i < m->n && (m->p[i].id != id || (own && !m->p[i].own)))
        i++;
    return i;
}

static void
model_remove(struct model *m, size_t i)
{
    memmove(m->p + i, m->p + i + 1, (m->n - i - 1) * sizeof *m->p);
    m->n--;
}

static void
model_submit(struct model *m, unsigned id)
{
    if (model_find(m, id, false) == m->n)
        m->p[m->n++] = (struct entry){id, 0, true};
}

static void
model_append(struct model *m, unsigned id, unsigned form)
{
    size_t own = model_find(m, id, true);
    if (own < m->n && form == m->p[own].form)
        return;
    if (own < m->n)
        model_remove(m, own);
    m->p[m->n++] = (struct entry){id, form, false};
}

static void
expunge_at(struct sent_scene *s, size_t at)
{
    struct mailbox_ref sent = fixture_ref(s->user, "Sent");
    struct view_message m[SENT_SCENE_MOST];
    struct seqset set;
    struct view *v;
    struct flag_result fr;
    struct fault f = {0};
    uint64_t n;
    assert_true(sent_scene_look(s, "Sent", m) > at);
    seqset_init(&set, s->arena);
    seqset_add(&set, m[at].row.uid);
    assert_int_equal(view_open(&sent, false, NULL, NULL, &v, &f), R_OK);
    struct flag_change del = {.op = FLAG_OP_ADD, .flags = FLAG_DELETED};
    assert_int_equal(
        change_flags(&(struct selection){v, &set, true}, &del, s->arena, &fr, &f), R_OK);
    assert_int_equal(change_expunge(v, &set, &n, &f), R_OK);
    assert_int_equal(n, 1);
    view_close(&v);
}

// The messages are in the order in which the model has them; sizes tell forms apart.
static void
compare(struct sent_scene *s, const struct model *model)
{
    struct view_message m[SENT_SCENE_MOST];
    assert_int_equal(sent_scene_look(s, "Sent", m), model->n);
    for (size_t i = 0; i < model->n; i++) {
        char text[200];
        text_of(model->p[i].id, model->p[i].form, text);
        char got[200] = {0};
        struct fault f = {0};
        assert_int_equal(m[i].row.size, strlen(text));
        assert_int_equal(message_read(s->x->mail, &m[i].row, 0, m[i].row.size, got, &f),
                         R_OK);
        assert_string_equal(got, text);
    }
}

static void
run_model(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct model model = {.n = 0};
    unsigned seed = 1;
    for (unsigned step = 0; step < STEPS; step++) {
        seed = seed * 1103515245 + 12345;
        unsigned roll = seed >> 16, id = roll % IDS, form = roll / IDS % FORMS,
                 what = roll / IDS / FORMS % 5;
        char text[200];
        text_of(id, form, text);
        if (what >= 3) {
            text_of(id, 0, text);
            sent_scene_submit(&s, text);
            model_submit(&model, id);
        } else if (what == 2 || model.n > SENT_SCENE_MOST / 2) {
            if (model.n > 0) {
                expunge_at(&s, roll % model.n);
                model_remove(&model, roll % model.n);
            }
        } else {
            sent_scene_append(&s, "Sent", text, 0, NULL);
            model_append(&model, id, form);
        }
        compare(&s, &model);
    }
    sent_scene_done(&s);
}

// ---- at the same moment ----

enum { RACES = 40 };
struct race {
    struct sent_scene *scene;
    char text[200];
    struct task *waits;
    bool done;
};

static void
submit_task(void *arg)
{
    struct race *r = arg;
    sent_scene_submit(r->scene, r->text);
    r->done = true;
    if (r->waits)
        task_wake(r->waits);
}

// APPEND and submission of one message are under way together, by two sessions of the user: one copy, whoever is first, with the
// client's octets.
static void
run_races(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    for (unsigned i = 0; i < RACES; i++) {
        struct race r = {.scene = &s};
        struct view_message m[SENT_SCENE_MOST];
        char text[200];
        text_of(i, 0, r.text);
        text_of(i, i % 2, text);
        task_start(submit_task, &r);
        for (unsigned k = 0; k < i % 7; k++)
            task_yield();
        sent_scene_append(&s, "Sent", text, 0, NULL);
        r.waits = task_self();
        while (!r.done)
            task_suspend();
        assert_int_equal(sent_scene_look(&s, "Sent", m), i + 1);
        assert_int_equal(m[i].row.size, strlen(text));
    }
    sent_scene_done(&s);
}

static void
test_races(void **state)
{
    (void)state;
    fixture_run_on_disk(run_races);
}

// ---- over restarts ----

static void
run_before(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_FILED);
    sent_scene_done(&s);
}

static void
run_after(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct view_message m[SENT_SCENE_MOST];
    sent_scene_append(&s, "Sent", MAIL, FLAG_FLAGGED, NULL);
    assert_int_equal(sent_scene_look(&s, "Sent", m), 1);
    assert_int_equal(m[0].row.flags, FLAG_SEEN | FLAG_FLAGGED);
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_THERE);
    sent_scene_append(&s, "Sent", MAIL_BCC, 0, NULL);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    sent_scene_done(&s);
}

static void
test_restart(void **state)
{
    char path[] = "/tmp/posthorn-sent-XXXXXX", command[64];
    (void)state;
    assert_non_null(mkdtemp(path));
    fixture_run(path, run_before);
    fixture_run(path, run_after);
    snprintf(command, sizeof command, "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

static void
test_model(void **state)
{
    (void)state;
    fixture_run(NULL, run_model);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_races),
        cmocka_unit_test(test_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
