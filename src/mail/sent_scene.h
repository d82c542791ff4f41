#ifndef MAIL_SENT_SCENE_H
#define MAIL_SENT_SCENE_H

// For tests of mail/sent.h: a user who submits, and a client of theirs that appends. All suspend, and abort when it cannot be done.

#include "mail/fixture.h"
#include "mail/sent.h"
#include "mail/view.h"

struct sent_scene {
    struct fixture *x;
    struct mail_user *user;
    struct arena *arena;
};

struct sent_scene sent_scene_new(struct fixture *x);
void sent_scene_done(struct sent_scene *s);
struct intake *sent_scene_taken(struct sent_scene *s, const char *text);
// client NULL: it sent the same.
struct sent_result sent_scene_submit_as(struct sent_scene *s, const char *text,
                                        const char *client, bool id_added);
struct sent_result sent_scene_submit(struct sent_scene *s, const char *text);
// keyword NULL: none
struct intake_result sent_scene_append(struct sent_scene *s, const char *mailbox,
                                       const char *text, uint16_t flags,
                                       const char *keyword);
// The messages of a mailbox, as many as there are.
enum { SENT_SCENE_MOST = 64 };
size_t sent_scene_look(struct sent_scene *s, const char *mailbox,
                       struct view_message out[SENT_SCENE_MOST]);
size_t sent_scene_count(struct sent_scene *s, const char *mailbox);

#define MAIL "Message-ID: <m1@a>\r\nSubject: Plans\r\n\r\nWe meet.\r\n"
#define MAIL_BCC                                                                           \
    "Message-ID: <m1@a>\r\nSubject: Plans\r\nBcc: eve@example.org\r\n\r\nWe meet.\r\n"

#endif
