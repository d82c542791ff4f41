#include "mail/sent_scene.h"

#include "mail/change.h"
#include "mail/home.h"
#include "mail/labels.h"
#include "mail/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

// The copy in Sent, and clients that append one of their own.

struct keyword_call {
    struct mailbox_ref ref;
    uint32_t uid;
    struct span name;
    bool has;
};

static void
keyword_run(void *arg)
{
    struct keyword_call *c = arg;
    struct mailbox_state *m = state_mailbox(account_state(c->ref.account), c->ref.mailbox);
    struct fault f = {0};
    size_t n;
    assert_int_equal(mailbox_load(c->ref.account, mailbox_of(c->ref.account, m->id), &f),
                     R_OK);
    const struct message_row *row = &m->rows[state_row_at(m, c->uid)];
    const uint32_t *numbers = keyword_sets_get(m->sets, row->keywords, &n);
    for (size_t i = 0; i < n; i++)
        c->has |= span_ieq(m->keywords[numbers[i]], c->name);
}

static bool
has_keyword(struct sent_scene *s, const char *mailbox, uint32_t uid, const char *name)
{
    struct keyword_call c = {fixture_ref(s->user, mailbox), uid, span_str(name), false};
    account_run(c.ref.account, keyword_run, &c);
    return c.has;
}

static uint16_t
flags_of(struct sent_scene *s, const char *mailbox, uint32_t uid)
{
    struct view_message m[SENT_SCENE_MOST];
    size_t n = sent_scene_look(s, mailbox, m);
    for (size_t i = 0; i < n; i++)
        if (m[i].row.uid == uid)
            return m[i].row.flags;
    return UINT16_MAX;
}

// ---- filing ----

static void
run_files(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct sent_result r = sent_scene_submit(&s, MAIL);
    assert_int_equal(r.how, SENT_FILED);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    assert_int_equal(flags_of(&s, "Sent", r.copy.uid), FLAG_SEEN);
    // the client asks again, since it never heard the answer
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_THERE);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    sent_scene_done(&s);
}

static void
run_off(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    mail_sent_set(x->mail, false);
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_OFF);
    mail_user_sent_set(s.user, SENT_WISH_YES);
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_FILED);
    mail_sent_set(x->mail, true);
    mail_user_sent_set(s.user, SENT_WISH_NO);
    assert_int_equal(sent_scene_submit(&s, "Message-ID: <m2@a>\r\n\r\nx\r\n").how,
                     SENT_OFF);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    sent_scene_done(&s);
}

struct use_call {
    struct mailbox_ref ref;
    enum special_use use;
};

static void
use_run(void *arg)
{
    struct use_call *c = arg;
    c->use = state_mailbox(account_state(c->ref.account), c->ref.mailbox)->special_use;
}

static enum special_use
use_of(struct sent_scene *s, const char *mailbox)
{
    struct use_call c = {fixture_ref(s->user, mailbox), USE_NONE};
    account_run(c.ref.account, use_run, &c);
    return c.use;
}

static void
run_makes_mailbox(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct fault f = {0};
    struct mailbox_ref ref;
    assert_int_equal(tree_delete(s.user, SPAN("Sent"), &f), R_OK);
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_FILED);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    assert_int_equal(use_of(&s, "Sent"), USE_SENT);
    // a mailbox of that name without the use is taken as it is
    assert_int_equal(tree_delete(s.user, SPAN("Sent"), &f), R_OK);
    assert_int_equal(tree_create(s.user, SPAN("Sent"), USE_NONE, &ref, &f), R_OK);
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_FILED);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    sent_scene_done(&s);
}

// ---- originals ----

static const struct {
    const char *text;
    bool answered, forwarded;
} originals[] = {
    {"In-Reply-To: <1@a>\r\nReferences: <1@a>\r\nSubject: Re: Hello\r\n", true, false},
    {"In-Reply-To: <1@a>\r\nSubject: AW: Re: Hello\r\n", false, false},  // another thread
    {"In-Reply-To: <1@a>\r\nSubject: Fwd: Hello\r\n", false, true},
    {"In-Reply-To: <1@a>\r\nSubject: FW : Hello\r\n", false, true},
    {"In-Reply-To: <1@a>\r\nSubject: Fwhello\r\n", false, false},
    {"References: <0@a> <1@a>\r\nSubject: Fwd: Hello\r\n", false, true},
    {"References: <1@a> <0@a>\r\nSubject: Fwd: Hello\r\n", false, false},
    {"X-Forwarded-Message-Id: <1@a>\r\nSubject: Fwd: Hello\r\n", false, true},
    {"X-Forwarded-Message-Id: <1@a>\r\nIn-Reply-To: <1@a>\r\nSubject: Re: Hello\r\n", true,
     true},
    {"Subject: look at this\r\nContent-Type: message/rfc822\r\n\r\n" FIXTURE_HELLO, false,
     true},
    {"Subject: look\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n"
     "--b\r\nContent-Type: message/rfc822\r\n\r\n" FIXTURE_HELLO "\r\n--b--\r\n",
     false, true},
    {"In-Reply-To: <9@a>\r\nSubject: Re: Hello\r\n", false, false},
};

static void
run_marks(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    for (size_t i = 0; i < sizeof originals / sizeof originals[0]; i++) {
        struct mailbox_ref inbox = fixture_ref(s.user, "INBOX");
        struct intake_result o = fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
        char text[1024];
        snprintf(text, sizeof text, "Message-ID: <new%zu@a>\r\n%s\r\nbody\r\n", i,
                 originals[i].text);
        struct sent_result r = sent_scene_submit(&s, text);
        uint16_t flags = flags_of(&s, "INBOX", o.uid);
        bool forwarded = has_keyword(&s, "INBOX", o.uid, "$Forwarded");
        if (flags != (originals[i].answered ? FLAG_ANSWERED : 0) ||
            forwarded != originals[i].forwarded ||
            (r.answered > 0) != originals[i].answered ||
            (r.forwarded > 0) != originals[i].forwarded)
            fail_msg("row %zu: flags %u, forwarded %d", i, flags, forwarded);
        struct view *v;
        struct fault f = {0};
        struct flag_result fr;
        uint64_t n;
        assert_int_equal(view_open(&inbox, false, NULL, NULL, &v, &f), R_OK);
        struct flag_change del = {.op = FLAG_OP_ADD, .flags = FLAG_DELETED};
        assert_int_equal(
            change_flags(&(struct selection){v, NULL, true}, &del, s.arena, &fr, &f), R_OK);
        assert_int_equal(change_expunge(v, NULL, &n, &f), R_OK);
        view_close(&v);
    }
    sent_scene_done(&s);
}

// Marks are set also where the copy is there already; other mailboxes are looked into behind INBOX.
static void
run_marks_elsewhere(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct mailbox_ref archive = fixture_ref(s.user, "Archive");
    struct intake_result o = fixture_append(x, &archive, FIXTURE_HELLO, 0, "mine");
    sent_scene_append(&s, "Sent", FIXTURE_ANSWER, 0, NULL);
    struct sent_result r = sent_scene_submit(&s, FIXTURE_ANSWER);
    assert_int_equal(r.how, SENT_THERE);
    assert_int_equal(r.answered, 1);
    assert_int_equal(flags_of(&s, "Archive", o.uid), FLAG_ANSWERED);
    assert_true(has_keyword(&s, "Archive", o.uid, "mine"));
    assert_int_equal(sent_scene_submit(&s, FIXTURE_ANSWER).answered, 0);
    sent_scene_done(&s);
}

// ---- clients' copies ----

static void
run_same(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct sent_result r = sent_scene_submit(&s, MAIL);
    struct intake_result a = sent_scene_append(&s, "Sent", MAIL, FLAG_FLAGGED, "mine");
    assert_int_equal(a.uid, r.copy.uid);
    assert_int_equal(a.emailid, r.copy.emailid);
    assert_int_equal(a.uidvalidity, r.copy.uidvalidity);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    assert_int_equal(flags_of(&s, "Sent", a.uid), FLAG_SEEN | FLAG_FLAGGED);
    assert_true(has_keyword(&s, "Sent", a.uid, "mine"));
    // into another mailbox it is another message
    sent_scene_append(&s, "Archive", MAIL, 0, NULL);
    assert_int_equal(sent_scene_count(&s, "Archive"), 1);
    assert_int_equal(sent_scene_append(&s, "Sent", MAIL, 0, NULL).uid, a.uid);
    sent_scene_done(&s);
}

static void
run_different(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct sent_result r = sent_scene_submit(&s, MAIL);
    sent_scene_append(&s, "Sent", "Message-ID: <other@a>\r\n\r\nx\r\n", 0, NULL);
    struct intake_result a = sent_scene_append(&s, "Sent", MAIL_BCC, FLAG_FLAGGED, NULL);
    assert_true(a.uid > r.copy.uid);
    assert_int_equal(sent_scene_count(&s, "Sent"), 2);
    assert_int_equal(flags_of(&s, "Sent", r.copy.uid), UINT16_MAX);
    assert_int_equal(flags_of(&s, "Sent", a.uid), FLAG_SEEN | FLAG_FLAGGED);
    // now it is the client's: one more is one more
    sent_scene_append(&s, "Sent", MAIL_BCC, 0, NULL);
    assert_int_equal(sent_scene_count(&s, "Sent"), 3);
    assert_int_equal(sent_scene_submit(&s, MAIL).how, SENT_THERE);
    assert_int_equal(sent_scene_count(&s, "Sent"), 3);
    sent_scene_done(&s);
}

// Submission adds fields: what the client sent is known by its own octets.
static void
run_added_fields(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    const char *bare = "Subject: Plans\r\n\r\nWe meet.\r\n";
    struct sent_result r = sent_scene_submit_as(&s, MAIL, bare, true);
    assert_int_equal(sent_scene_append(&s, "Sent", bare, 0, NULL).uid, r.copy.uid);
    const char *dateless = "Message-ID: <m2@a>\r\nSubject: Plans\r\n\r\nWe meet.\r\n";
    r = sent_scene_submit_as(
        &s,
        "Message-ID: <m2@a>\r\nDate: Mon, 2 Jan 2023 10:00:00 +0000\r\n"
        "Subject: Plans\r\n\r\nWe meet.\r\n",
        dateless, false);
    assert_int_equal(sent_scene_append(&s, "Sent", dateless, 0, NULL).uid, r.copy.uid);
    assert_int_equal(sent_scene_count(&s, "Sent"), 2);
    sent_scene_done(&s);
}

static void
run_multiappend(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct mailbox_ref sent = fixture_ref(s.user, "Sent");
    struct sent_result r = sent_scene_submit(&s, MAIL);
    struct intake_item items[3] = {
        {sent_scene_taken(&s, "Message-ID: <z@a>\r\n\r\nz\r\n"), {0}},
        {sent_scene_taken(&s, MAIL), {0}},
        {sent_scene_taken(&s, MAIL), {0}}};
    struct intake_batch batch = {.items = items, .n = 3, .by_client = true};
    struct intake_result done[3];
    struct fault f = {0};
    assert_int_equal(intake_commit_all(&batch, &sent, done, &f), R_OK);
    assert_int_equal(done[1].uid, done[0].uid + 1);
    assert_int_equal(done[2].uid, done[0].uid + 2);
    assert_int_equal(flags_of(&s, "Sent", r.copy.uid), UINT16_MAX);
    assert_int_equal(flags_of(&s, "Sent", done[1].uid), FLAG_SEEN);
    assert_int_equal(sent_scene_count(&s, "Sent"), 3);
    for (int i = 0; i < 3; i++)
        intake_free(&items[i].intake);
    sent_scene_done(&s);
}

// `where`: of what is replaced.
static void
replace_with(struct sent_scene *s, const char *where, uint32_t uid, const char *text)
{
    struct mailbox_ref from = fixture_ref(s->user, where),
                       sent = fixture_ref(s->user, "Sent");
    struct intake_item item = {sent_scene_taken(s, text), {0}};
    struct seqset set;
    struct view *v;
    struct fault f = {0};
    struct intake_result done;
    assert_int_equal(view_open(&from, false, NULL, NULL, &v, &f), R_OK);
    seqset_init(&set, s->arena);
    seqset_add(&set, uid);
    struct selection old = {v, &set, true};
    struct intake_batch batch = {
        .items = &item, .n = 1, .replaced = &old, .by_client = true};
    assert_int_equal(intake_commit_all(&batch, &sent, &done, &f), R_OK);
    view_close(&v);
    intake_free(&item.intake);
}

static void
run_replace(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct intake_result draft = sent_scene_append(&s, "Drafts", MAIL, FLAG_DRAFT, NULL);
    struct sent_result r = sent_scene_submit(&s, MAIL);
    replace_with(&s, "Drafts", draft.uid, MAIL);
    assert_int_equal(sent_scene_count(&s, "Drafts"), 0);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    assert_int_equal(flags_of(&s, "Sent", r.copy.uid), UINT16_MAX);
    // the server's own copy is the one that is replaced
    r = sent_scene_submit(&s, "Message-ID: <m2@a>\r\n\r\nx\r\n");
    replace_with(&s, "Sent", r.copy.uid, "Message-ID: <m2@a>\r\n\r\ny\r\n");
    assert_int_equal(sent_scene_count(&s, "Sent"), 2);
    sent_scene_done(&s);
}

static void
run_quota(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct account *a = mail_user_account(s.user);
    struct usage limits = {{QUOTA_KEEP, 1, QUOTA_KEEP, QUOTA_KEEP}};
    struct fault f = {0};
    struct sent_result out;
    assert_int_equal(quota_set(a, &limits, &f), R_OK);
    sent_scene_submit(&s, MAIL);
    // neither of these needs room
    sent_scene_append(&s, "Sent", MAIL, 0, NULL);
    sent_scene_append(&s, "Sent", MAIL_BCC, 0, NULL);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    struct intake *in = sent_scene_taken(&s, "Message-ID: <m3@a>\r\n\r\nx\r\n");
    struct sent_message m = {.intake = in};
    assert_int_equal(sent_file(s.user, &m, &out, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_OVERQUOTA);
    intake_free(&in);
    sent_scene_done(&s);
}

// In labels mode a copy is in \All, too, and goes from both; what the user labelled stays.
static void
run_labels(struct fixture *x)
{
    struct sent_scene s = sent_scene_new(x);
    struct label_switch sw = {0};
    struct fault f = {0};
    char all[256];
    assert_int_equal(label_switch(s.user, true, false, s.arena, &sw, &f), R_OK);
    snprintf(all, sizeof all, "%.*s", SPAN_ARG(sw.all));
    struct mailbox_ref inbox = fixture_ref(s.user, "INBOX");
    struct intake_result o = fixture_append(x, &inbox, FIXTURE_HELLO, 0, NULL);
    struct sent_result r = sent_scene_submit(&s, FIXTURE_ANSWER);
    assert_int_equal(r.answered, 1);
    assert_int_equal(flags_of(&s, "INBOX", o.uid), FLAG_ANSWERED);
    assert_int_equal(sent_scene_count(&s, all), 2);
    struct view_message m[SENT_SCENE_MOST];
    assert_int_equal(sent_scene_look(&s, all, m), 2);
    assert_int_equal(m[0].row.flags, FLAG_ANSWERED);
    assert_int_equal(sent_scene_append(&s, "Sent", FIXTURE_ANSWER, FLAG_FLAGGED, NULL).uid,
                     r.copy.uid);
    assert_int_equal(sent_scene_look(&s, all, m), 2);
    assert_int_equal(m[1].row.flags, FLAG_SEEN | FLAG_FLAGGED);
    sent_scene_append(&s, "Sent", "Bcc: e@a\r\n" FIXTURE_ANSWER, 0, NULL);
    assert_int_equal(sent_scene_count(&s, "Sent"), 1);
    assert_int_equal(sent_scene_count(&s, all), 2);
    sent_scene_done(&s);
}

static void
test_files(void **state)
{
    (void)state;
    void (*const runs[])(struct fixture *) = {
        run_files,           run_off,     run_makes_mailbox, run_marks,
        run_marks_elsewhere, run_same,    run_different,     run_added_fields,
        run_multiappend,     run_replace, run_quota,         run_labels,
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        fixture_run(NULL, runs[i]);
        fixture_run_on_disk(runs[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
