#ifndef MIME_MAIL_TEST_H
#define MIME_MAIL_TEST_H

// What the tests of this folder share: scanning in cuts, walking over tests/mail, and comparing texts.

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "mime/scan.h"

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static inline void
check_span(struct span got, const char *want)
{
    if (!span_eq(got, span_str(want)))
        fail_msg("got \"%.*s\", want \"%s\"", SPAN_ARG(got), want);
}

static inline const struct mime_part *
scan_in_cuts(struct arena *a, struct span message, size_t cut)
{
    struct mime_scan *s = mime_scan_new(a);

    while (message.n > 0) {
        struct span piece = span_slice(message, 0, cut);
        mime_scan_feed(s, piece);
        message = span_skip(message, piece.n);
    }
    return mime_scan_end(s);
}

static inline void
read_file(struct buf *b, const char *path)
{
    FILE *in = fopen(path, "rb");
    char chunk[4096];
    size_t n;

    if (!in)
        fail_msg("cannot open %s", path);
    must(in != NULL);
    buf_reset(b);
    while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0)
        buf_put(b, span_of(chunk, n));
    (void)fclose(in);
}

// Calls fn for every message of a folder; returns how many there were.
static inline size_t
each_mail(const char *folder, void (*fn)(const char *name, struct span message))
{
    DIR *dir = opendir(folder);
    struct buf message;
    size_t count = 0;

    if (!dir)
        return 0;
    buf_init(&message, 1 << 28);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[1024];
        if (!span_ends(span_str(entry->d_name), SPAN(".eml")))
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        read_file(&message, path);
        fn(entry->d_name, buf_span(&message));
        count++;
    }
    (void)closedir(dir);
    buf_done(&message);
    return count;
}

#endif
