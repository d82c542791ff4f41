#include "relay/reply.h"
#include "base/limits.h"
#include "base/utf8.h"

// ---- one line ----

// R_NONE: not whole yet. A lone LF ends a line too: nothing of ours depends on where it ends.
static enum result
take_line(struct span *rest, struct span *line_out, struct fault *f)
{
    size_t end = span_find_char(*rest, '\n');
    if (end > LIMIT_relay_line)
        return fault_set(f, FAULT_BAD, "the smarthost sent a line of more than %d octets",
                         LIMIT_relay_line);
    if (end == rest->n)
        return R_NONE;
    struct span line = span_slice(*rest, 0, end);
    if (span_ends(line, SPAN("\r")))
        line.n--;
    *rest = span_skip(*rest, end + 1);
    *line_out = line;
    return R_OK;
}

static bool
is_reply_line(struct span line)
{
    return line.n >= 3 && line.p[0] >= '2' && line.p[0] <= '5' &&
           ascii_is_digit(line.p[1]) && ascii_is_digit(line.p[2]) &&
           (line.n == 3 || line.p[3] == ' ' || line.p[3] == '-');
}

static uint16_t
code_of(struct span line)
{
    return (uint16_t)((line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + line.p[2] - '0');
}

// ---- what is kept ----

// "5.1.1 ": the class is that of the code (RFC 2034 section 4).
static size_t
status_of(struct span text, uint16_t code)
{
    size_t i = 0;
    unsigned dots = 0, digits = 0;
    for (; i < text.n && i < SMTP_STATUS - 1 && text.p[i] != ' '; i++) {
        if (text.p[i] == '.' && digits > 0 && dots < 2)
            dots++, digits = 0;
        else if (ascii_is_digit(text.p[i]) && digits < 3)
            digits++;
        else
            return 0;
    }
    bool whole = dots == 2 && digits > 0 && (i == text.n || text.p[i] == ' ');
    return whole && text.p[0] - '0' == code / 100 && text.p[1] == '.' ? i : 0;
}

static void
keep_words(struct smtp_reply *r, struct span text)
{
    size_t n = strlen(r->words);
    if (n > 0 && n < SMTP_WORDS)
        r->words[n++] = ' ';
    for (size_t i = 0; i < text.n && n < SMTP_WORDS; i++)
        r->words[n++] = text.p[i] >= ' ' && text.p[i] <= '~' ? text.p[i] : '?';
    r->words[n] = '\0';
}

static void
keep_line(struct smtp_reply *r, struct span line)
{
    struct span text = span_skip(line, 4);
    size_t status = status_of(text, r->code);
    if (status > 0 && r->status[0] == '\0')
        memcpy(r->status, text.p, status);
    keep_words(r, text);
}

enum result
smtp_reply_take(struct span input, struct smtp_reply *out, size_t *used_out,
                struct fault *f)
{
    struct smtp_reply r = {0};
    struct span rest = input, line = SPAN_NONE;
    for (unsigned lines = 0;; lines++) {
        enum result got = take_line(&rest, &line, f);
        if (got == R_NONE)
            *used_out = 0;
        if (got != R_OK)
            return got == R_NONE ? R_OK : R_FAIL;
        if (lines >= LIMIT_relay_lines || !is_reply_line(line) ||
            (lines > 0 && code_of(line) != r.code))
            return fault_set(f, FAULT_BAD, "the smarthost's answer is none of SMTP");
        r.code = code_of(line);
        keep_line(&r, line);
        if (line.n == 3 || line.p[3] == ' ')
            break;
    }
    if (r.status[0] == '\0')
        snprintf(r.status, sizeof r.status, "%d.0.0", r.code / 100);
    *out = r;
    *used_out = input.n - rest.n;
    return R_OK;
}

void
smtp_reply_none(struct smtp_reply *out, const char *status, const char *words)
{
    *out = (struct smtp_reply){0};
    snprintf(out->status, sizeof out->status, "%s", status);
    keep_words(out, span_str(words));
}

// ---- EHLO ----

static struct span
word_of(struct span *rest)
{
    struct span word = SPAN_NONE;
    while (rest->n > 0 && word.n == 0)
        if (span_next_field(rest, ' ', &word) != R_OK)
            break;
    return word;
}

static void
read_offer(struct span line, struct smtp_offer *o)
{
    static const struct {
        const char *name;
        unsigned cap;
    } rows[] = {
        {"PIPELINING", SMTP_PIPELINING}, {"SIZE", SMTP_SIZE}, {"8BITMIME", SMTP_8BITMIME},
        {"SMTPUTF8", SMTP_SMTPUTF8},     {"DSN", SMTP_DSN},   {"DELIVERBY", SMTP_DELIVERBY},
        {"STARTTLS", SMTP_STARTTLS},     {"AUTH", SMTP_AUTH}, {"CHUNKING", SMTP_CHUNKING},
        {"BINARYMIME", SMTP_BINARYMIME}};
    struct span word = word_of(&line);
    unsigned cap = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_ieq(word, span_str(rows[i].name)))
            cap = rows[i].cap;
    o->caps |= cap;
    struct span value = word_of(&line), rest = line;
    if (cap == SMTP_SIZE && span_to_u64(value, &o->size_max) != R_OK)
        o->size_max = 0;
    if (cap == SMTP_DELIVERBY && span_to_u64(value, &o->by_min) != R_OK)
        o->by_min = 0;
    for (; cap == SMTP_AUTH && value.n > 0; value = word_of(&rest)) {
        size_t n = strlen(o->mechanisms);
        if (n + value.n + 2 < sizeof o->mechanisms && ascii_only(value))
            snprintf(o->mechanisms + n, sizeof o->mechanisms - n, " %.*s", SPAN_ARG(value));
    }
}

void
smtp_offer_read(struct span reply, struct smtp_offer *out)
{
    struct smtp_offer o = {0};
    struct span line;
    bool first = true;
    while (span_next_field(&reply, '\n', &line) == R_OK) {
        if (!first)
            read_offer(span_trim(span_skip(line, 4)), &o);
        first = false;
    }
    *out = o;
}

bool
smtp_offer_has(const struct smtp_offer *o, const char *mechanism)
{
    struct span rest = span_str(o->mechanisms), word;
    while ((word = word_of(&rest)).n > 0)
        if (span_ieq(word, span_str(mechanism)))
            return true;
    return false;
}
