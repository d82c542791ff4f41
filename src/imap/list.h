#ifndef IMAP_LIST_H
#define IMAP_LIST_H

// LIST, LSUB and their options (RFC 9051 section 6.3.9, RFC 5258): what SLOT_LIST_SELECT and SLOT_LIST_RETURN words
// stand for, and the LIST line that other commands send too.
// Owner: the command.

#include "imap/session.h"
#include "mail/tree.h"

struct imap_list_option {
    // Selection: does the mailbox meet it? NULL: the option selects nothing by itself (REMOTE, RECURSIVEMATCH).
    bool (*selects)(const struct tree_entry *e);
    // Return: reads the value after the word, from the space on; NULL when it has none.
    void (*parse)(struct imap_command *c, struct parse *p);
    // Return: a line after the LIST line of a selected mailbox; may be NULL. Suspends.
    enum result (*put)(struct imap_command *c, const struct tree_entry *e, struct fault *f);
};
enum { LIST_OPTIONS_MAX = 16 };
// Values of the words, collected in `modes`.
enum imap_list_mode {
    LIST_RECURSIVE = 1,
    LIST_SUBSCRIBED = 2,  // lists subscriptions, also those whose mailbox is missing
    LIST_REMOTE = 4,
    LIST_NEEDS_READ = 8,        // tells what needs the read right
    LIST_TELL_SUBSCRIBED = 16,  // \Subscribed is due
};

// c->own while LIST or LSUB runs.
struct imap_list {
    bool lsub, xlist, extended;
    bool empty_pattern;  // the last one
    uint32_t modes;      // enum imap_list_mode
    const struct imap_word *selects[LIST_OPTIONS_MAX];
    const struct imap_word *returns[LIST_OPTIONS_MAX];
    unsigned select_count, return_count;
    struct span reference;
    struct list_pattern **patterns, **levels;  // levels: those with "%" at their end
    unsigned pattern_count, level_count;
    void *status;    // RETURN (STATUS): base/status.c's
    void *metadata;  // RETURN (METADATA): ext/list_metadata.c's
};

// "* LIST (attributes) "/" name", with OLDNAME when the client's spelling is another than the name.
void imap_list_send(struct imap_session *s, const struct tree_entry *e,
                    struct span spelled);

// RFC 9051 section 6.3.9.7: a name that was made another by normalising is told, on rev2 sessions. Does the name that
// `name` stands for differ from what was given?
bool imap_name_changed(struct imap_command *c, struct span name, struct span given);
// Suspends. LIST of the mailbox (\NonExistent when it is gone) with the old name.
enum result imap_oldname_send(struct imap_command *c, struct span name, struct span old,
                              struct fault *f) MUST_CHECK;

// A pattern of LIST, compiled: matching costs name length times pattern length / 64, whatever the wildcards.
// NULL when longer than LIMIT_mailbox_name (it matches nothing then). INBOX matches in any case.
struct list_pattern *list_pattern_new(struct arena *a, struct span pattern);
bool list_pattern_match(const struct list_pattern *p, struct span name);

#endif
