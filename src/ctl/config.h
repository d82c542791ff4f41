#ifndef CTL_CONFIG_H
#define CTL_CONFIG_H

// The configuration: one file (libConfuse), or only a data directory. The settings are the rows of config.def;
// struct members, parser, `config dump` and the copy that roles get at their start all come from them.
// Owner: the config's own arena. Trust: the file is the administrator's; a wrong setting is told with file, line
// and the fix. Nothing secret stands in it (keys are files that only the supervisor opens).
// Threads: any, it never changes after config_load.

#include "base/arena.h"
#include "base/buf.h"

struct config_list {
    const char **items;
    size_t n;
};

// Kinds of config.def and the C type each has here. SIZE is octets ("100M"), TIME seconds ("30d"),
// CHOICE one of the words of its row, SWITCH too: "true" and "false" are among them, and are read as those of a BOOL.
typedef const char *config_TEXT;
typedef const char *config_CHOICE;
typedef const char *config_SWITCH;
typedef struct config_list config_LIST;
typedef bool config_BOOL;
typedef uint64_t config_NUMBER;
typedef uint64_t config_SIZE;
typedef uint64_t config_TIME;

struct config {
    struct arena *arena;
    const char *file;  // NULL when there was none
#define SETTING(field, kind, change, name, normal, words, text) config_##kind field;
#include "ctl/config.def"
#undef SETTING
};

// Defaults, then the file (NULL: only defaults), then checks. `data` overrides the file's when not NULL.
enum result config_load(const char *file, const char *data, struct config **c_out,
                        struct fault *f) MUST_CHECK;
void config_free(struct config **c);
// The setting intake_keywords as enum mark (mail/marks.h).
unsigned config_marks(const struct config *c);
// The setting private_flags as enum message_flag.
uint16_t config_private_flags(const struct config *c);
// The list that is this member (offsetof).
static inline const struct config_list *
config_list_at(const struct config *c, size_t member)
{
    return (const struct config_list *)((const char *)c + member);
}
// Is it one of the items? ASCII case does not count.
bool config_list_has(const struct config_list *list, struct span s);
// What only one role is to know is "" to others, and "(hidden)" to people (role NULL).
void config_hide(struct config *c, const char *role);
// Opens the log of this process as the settings say.
void config_log_open(const struct config *c, const char *role);

// All settings in the file's own syntax; hidden ones (test_*) only when they differ from their default.
void config_dump(const struct config *c, struct buf *b);

// For a reload: `next` takes over from `now` what needs a restart to change. Names of what differs are put into
// `live` and `restart` ("imap, tls.key").
void config_follow(struct config *next, const struct config *now, struct buf *live,
                   struct buf *restart);

// The copy for a role: config_get(config_put(c)) equals c.
void config_put(struct buf *b, const struct config *c);
enum result config_get(struct span packed, struct config **c_out) MUST_CHECK;

#endif
