#include "bench/corpus.h"

#include <math.h>
#include <sys/stat.h>

enum {
    SIZE_LEAST = 2000,
    SIZE_MOST = 98000,
    MESSAGE_MAX = 1 << 27,
    MBOX_MAX = 1 << 30,
    NUMBER_DIGITS = 16,
    THREAD = 8
};

struct corpus {
    struct buf bytes;
    struct item {
        // number, thread: where the digits of the Message-ID and of References stand, 0 for none
        size_t at, n, number, thread;
    } * items;
    size_t count, next;
    uint64_t sent, random;
};

static const char *const words[] = {
    "harvest",  "invoice", "meeting", "budget",  "garden",   "window",   "letter",
    "station",  "summer",  "minutes", "draft",   "contract", "travel",   "receipt",
    "planning", "review",  "family",  "concert", "weather",  "delivery",
};

static void *
x_new(size_t n, size_t size)
{
    void *p = calloc(n, size);
    must(p != NULL);
    return p;
}

static uint64_t
random_next(struct corpus *c)
{
    c->random = c->random * 6364136223846793005u + 1442695040888963407u;
    return c->random >> 33;
}

static const char *
word(struct corpus *c)
{
    return words[random_next(c) % (sizeof words / sizeof *words)];
}

static void
put_text(struct corpus *c, size_t end)
{
    while (c->bytes.n < end) {
        for (int i = 0; i < 8; i++)
            buf_printf(&c->bytes, "%s%s", i > 0 ? " " : "", word(c));
        buf_put_str(&c->bytes, "\r\n");
    }
}

static void
put_base64(struct corpus *c, size_t end)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while (c->bytes.n < end) {
        for (int i = 0; i < 76; i++)
            buf_put_char(&c->bytes, letters[random_next(c) % 64]);
        buf_put_str(&c->bytes, "\r\n");
    }
}

static void
put_header(struct corpus *c, struct item *m, size_t number)
{
    struct buf *b = &c->bytes;
    buf_printf(b,
               "Return-Path: <sender%zu@example.org>\r\n"
               "Received: from mx.example.org (mx.example.org [192.0.2.7])\r\n"
               "\tby mail.example.com with ESMTPS id 4QxYz%zu\r\n"
               "\tfor <someone@example.com>; Mon, %u Jun 2026 10:%02u:00 +0000\r\n",
               number, number, (unsigned)(number % 28 + 1), (unsigned)(number % 60));
    buf_printf(b,
               "Date: Mon, %u Jun 2026 10:%02u:00 +0000\r\nFrom: %s Sender "
               "<sender%zu@example.org>\r\n",
               (unsigned)(number % 28 + 1), (unsigned)(number % 60), word(c), number);
    buf_printf(b,
               "To: Someone <someone@example.com>, %s <%s@example.com>\r\nSubject: %s %s "
               "=?utf-8?q?f=C3=BCr?= %s %zu\r\n",
               word(c), word(c), word(c), word(c), word(c), number);
    buf_put_str(b, "Message-ID: <");
    m->number = b->n - m->at;
    buf_put_str(b, "0000000000000000.bench@example.org>\r\nReferences: <");
    m->thread = b->n - m->at;
    buf_put_str(b, "0000000000000000.bench@example.org>\r\nMIME-Version: 1.0\r\n");
}

static void
put_part(struct corpus *c, const char *boundary, const char *headers)
{
    buf_printf(&c->bytes, "--%s\r\n%s\r\n", boundary, headers);
}

static void
put_message(struct corpus *c, struct item *m, size_t number, size_t size)
{
    struct buf *b = &c->bytes;
    m->at = b->n;
    put_header(c, m, number);
    buf_put_str(b, "Content-Type: multipart/mixed; boundary=\"outer\"\r\n\r\n");
    put_part(c, "outer", "Content-Type: multipart/alternative; boundary=\"inner\"\r\n");
    put_part(c, "inner", "Content-Type: text/plain; charset=utf-8\r\n");
    put_text(c, m->at + 1100 + size / 10);
    put_part(
        c, "inner",
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
    put_text(c, m->at + 1300 + size / 5);
    buf_put_str(b, "--inner--\r\n");
    put_part(c, "outer",
             "Content-Type: application/pdf; "
             "name=\"report.pdf\"\r\nContent-Transfer-Encoding: base64\r\n"
             "Content-Disposition: attachment; filename=\"report.pdf\"\r\n");
    put_base64(c, m->at + (size > 90 ? size - 90 : 0));
    buf_put_str(b, "--outer--\r\n");
    m->n = b->n - m->at;
}

// The i-th of n sizes with equal ratios between neighbours.
static size_t
spread(size_t i, size_t n)
{
    return (size_t)(SIZE_LEAST *
                    pow((double)SIZE_MOST / SIZE_LEAST, (double)i / (double)n));
}

struct corpus *
corpus_new(uint64_t seed, size_t count, size_t size)
{
    struct corpus *c = x_new(1, sizeof *c);
    buf_init(&c->bytes, MBOX_MAX);
    c->random = seed;
    c->count = count;
    c->items = x_new(count, sizeof *c->items);
    for (size_t i = 0; i < count; i++)
        put_message(c, &c->items[i], i, size > 0 ? size : spread(i * 37 % count, count));
    must(!c->bytes.over);
    return c;
}

// Adds the lines of one message of an mbox with CRLF; returns the rest of the file.
static struct span
put_mbox_message(struct corpus *c, struct span rest, bool dots)
{
    struct span line;
    while (rest.n > 0 && !span_starts(rest, SPAN("From ")) &&
           span_next_field(&rest, '\n', &line) == R_OK) {
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (dots && span_starts(line, SPAN(".")))
            buf_put_char(&c->bytes, '.');
        buf_put(&c->bytes, line);
        buf_put_str(&c->bytes, "\r\n");
    }
    return rest;
}

static void
split_mbox(struct corpus *c, struct span rest, bool dots)
{
    size_t room = 0;
    struct span line;
    while (rest.n > 0 && span_next_field(&rest, '\n', &line) == R_OK) {
        if (c->count == room) {
            room = room * 2 + 64;
            c->items = reallocarray(c->items, room, sizeof *c->items);
            must(c->items != NULL);
        }
        size_t at = c->bytes.n;
        rest = put_mbox_message(c, rest, dots);
        if (c->bytes.n > at)
            c->items[c->count++] = (struct item){.at = at, .n = c->bytes.n - at};
    }
}

enum result
corpus_read(const char *path, bool dots, struct corpus **out, struct fault *f)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > MBOX_MAX)
        return fault_errno(f, FAULT_BAD, path);
    char *text = x_new(1, (size_t)st.st_size + 1);
    ssize_t n = read(fd, text, (size_t)st.st_size);
    close(fd);
    struct corpus *c = x_new(1, sizeof *c);
    buf_init(&c->bytes, MBOX_MAX);
    if (n > 0)
        split_mbox(c, span_of(text, (size_t)n), dots);
    free(text);
    if (c->count == 0 || c->bytes.over) {
        corpus_free(&c);
        return fault_set(f, FAULT_BAD, "%.150s: no mbox", path);
    }
    *out = c;
    return R_OK;
}

void
corpus_free(struct corpus **c)
{
    if (*c == NULL)
        return;
    buf_done(&(*c)->bytes);
    free((*c)->items);
    free(*c);
    *c = NULL;
}

static void
set_number(char *digits, uint64_t number)
{
    for (int i = NUMBER_DIGITS; i-- > 0; number /= 10)
        digits[i] = (char)('0' + number % 10);
}

struct span
corpus_next(struct corpus *c)
{
    const struct item *m = &c->items[c->next++ % c->count];
    char *message = c->bytes.p + m->at;
    c->sent++;
    if (m->number > 0)
        set_number(message + m->number, c->sent);
    if (m->thread > 0)  // the first of each eight has seven answers
        set_number(message + m->thread, c->sent - c->sent % THREAD);
    return span_of(message, m->n);
}
