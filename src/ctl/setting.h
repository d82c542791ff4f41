#ifndef CTL_SETTING_H
#define CTL_SETTING_H

// A setting is a row of config.def: how its text becomes a value of struct config and back.
// Trust: text comes from the configuration file. Threads: any.

#include "ctl/config.h"

enum setting_kind {
    SETTING_TEXT,
    SETTING_CHOICE,
    SETTING_LIST,
    SETTING_BOOL,
    SETTING_SWITCH,
    SETTING_NUMBER,
    SETTING_SIZE,
    SETTING_TIME,
};

// When a new value takes effect: with a reload, or when the server is started again.
enum setting_change { SETTING_LIVE, SETTING_RESTART };

struct setting {
    enum setting_kind kind;
    enum setting_change change;
    const char *name;  // "tls.key"
    size_t offset;     // of the member in struct config
    const char *normal, *words, *text;
};

extern const struct setting settings[];
extern const size_t settings_count;

const struct setting *setting_find(struct span name);  // NULL when there is none
const char *setting_nearest(struct span name);         // the most similar name, or NULL
// its end, so that a message has room for the advice
const char *setting_short_path(const char *path);
bool setting_is_hidden(const struct setting *s);

// Reads one value into its member. A LIST gets the items of `values`, all other kinds exactly one.
enum result setting_read(const struct setting *s, struct config *c, const char **values,
                         size_t n, struct fault *f) MUST_CHECK;
enum result setting_defaults(struct config *c, struct fault *f) MUST_CHECK;
// Octets of a SIZE: "500M", "2G".
enum result setting_size(struct span text, uint64_t *octets_out) MUST_CHECK;
// Seconds of a TIME: "30m", "12h", "14d".
enum result setting_time(struct span text, uint64_t *seconds_out) MUST_CHECK;
// Is it one of the words of a CHOICE? FAULT_BAD tells them.
enum result setting_check_word(struct span name, struct span word,
                               struct fault *f) MUST_CHECK;
// The value as the file writes it.
void setting_write(const struct setting *s, const struct config *c, struct buf *b);

// The file half of config_load (config_file.c): reads `file` over the defaults in c.
enum result config_file_read(const char *file, struct config *c,
                             struct fault *f) MUST_CHECK;

#endif
