// The grammar of SEARCH, checked by its algebra: NOT (x) finds the others, OR (x) (x) and (x) x the same, OR (x) NOT
// (x) all, (x) NOT (x) none, UID SEARCH the UIDs of the same.
#include "base/limits.h"
#include "served.h"
#include "wire/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 5, EVERY = (1 << MESSAGES) - 1, REFUSED = -1, LONG = 60 };

static const char *const texts[MESSAGES + 1] = {
    "From: gone\r\n\r\n",
    "From: \"A B\" <a@example.org>\r\nSubject: "
    "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhello\r\n",
    "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nTo: b@example.org\r\n\r\nworld\r\n",
    ("Content-Type: multipart/mixed; boundary=x\r\nX-Y: z\r\n\r\n--x\r\n\r\na\r\n--x\r\n"
     "Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--x--\r\n"),
    "Cc: c@example.org\r\nBcc: d\r\n\r\n",
    "\r\n\xC3\xA9\xFF\r\n",
};

// The set that the command of this tag found, as bits; `first` is the number of the first message.
static int
found(struct span out, char tag, uint32_t first)
{
    struct span line, last = SPAN_NONE, number;
    uint32_t n;
    int set = 0;
    while (span_next_field(&out, '\n', &line) == R_OK) {
        if (line.n > 2 && line.p[0] == tag && line.p[1] == ' ')
            break;
        if (span_starts(line, SPAN("* SEARCH")))
            last = span_trim(span_skip(line, SPAN("* SEARCH").n));
    }
    must(line.n > 4 && line.p[0] == tag);
    if (!span_starts(span_skip(line, 2), SPAN("OK")))
        return REFUSED;
    while (last.n > 0 && span_next_field(&last, ' ', &number) == R_OK) {
        must(span_to_u32(number, &n) == R_OK && n >= first && n < first + MESSAGES);
        set |= 1 << (n - first);
    }
    return set;
}

// X stands for the keys.
static const struct law {
    const char *text;
    int others, with, without;  // what is found: (set ^ others) & with | without
    uint32_t first;             // number of the first message
} laws[] = {
    {"SEARCH X", 0, EVERY, 0, 1},
    {"SEARCH (X)", 0, EVERY, 0, 1},
    {"SEARCH NOT (X)", EVERY, EVERY, 0, 1},
    {"SEARCH OR (X) (X)", 0, EVERY, 0, 1},
    {"SEARCH (X) X", 0, EVERY, 0, 1},
    {"UID SEARCH X", 0, EVERY, 0, 2},
    {"SEARCH OR (X) NOT (X)", 0, 0, EVERY, 1},
    {"SEARCH (X) NOT (X)", 0, 0, 0, 1},
    {"SEARCH OR 1 (X)", 0, EVERY, 1, 1},
    {"SEARCH 2:3 (X)", 0, 6, 0, 1},
};
enum { LAWS = sizeof laws / sizeof *laws };

static void
put_commands(struct buf *in, struct span x)
{
    buf_put_str(in, "z SELECT INBOX\r\nz STORE 1 +FLAGS (\\Deleted)\r\n"
                    "z STORE 3 +FLAGS (k)\r\nz UID EXPUNGE 1\r\n");
    for (int i = 0; i < LAWS; i++)
        served_put_law(in, (char)('a' + i), laws[i].text, x);
}

static void
play(struct served *s)
{
    struct span x = *(struct span *)s->arg;
    struct buf in, out;
    buf_init(&in, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    for (size_t i = 0; i <= MESSAGES; i++)
        served_deliver(s, 7, texts[i], (uint16_t)(i * 5 & FLAG_ALL));
    put_commands(&in, x);
    served_talk(s, served_imap, buf_span(&in), SIZE_MAX, &out);
    int set = found(buf_span(&out), 'a', 1);
    if (span_find_char(x, '{') < x.n && found(buf_span(&out), 'b', 1) == REFUSED)
        set = REFUSED;  // a literal that takes the ')' in
    for (int i = 1; set != REFUSED && i < LAWS; i++) {
        int other = found(buf_span(&out), (char)('a' + i), laws[i].first);
        int want = ((set ^ laws[i].others) & laws[i].with) | laws[i].without;
        must(other == want || (other == REFUSED && x.n > LONG));
    }
    buf_done(&in);
    buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span x = span_of(data, size);
    struct command_reader r;
    struct buf line;
    size_t framed = 0;
    buf_init(&line, SIZE_MAX);
    buf_printf(&line, "a SEARCH %.*s\r\n", SPAN_ARG(x));
    command_reader_init(&r, LIMIT_line, LIMIT_command);
    enum command_state state;
    while ((state = command_reader_feed(&r, buf_span(&line), &framed)) == COMMAND_CONTINUE)
        ;
    bool keys = !memchr(data, 0, size) && !span_istarts(x, SPAN("RETURN")) &&
                !span_istarts(x, SPAN("CHARSET"));
    if (state == COMMAND_WHOLE && framed == line.n && keys)
        served_run(play, &x);
    buf_done(&line);
    return 0;
}
