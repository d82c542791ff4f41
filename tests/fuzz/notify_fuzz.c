// The grammar of NOTIFY: what is taken alone is taken with STATUS, in other case, twice, and beside a group that asks for nothing,
// and always ends in NONE; limits apart.
#include "base/limits.h"
#include "served.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// X stands for the groups.
static const char *const laws[] = {
    "NOTIFY SET X",
    "notify set status X",
    "NOTIFY SET X",
    "NOTIFY SET (personal NONE) X",
    "NOTIFY SET X (mailboxes (a b) NONE)",
};
enum { LAWS = sizeof laws / sizeof *laws };

// 'O', 'N' or 'B' of the answer with this tag.
static char
answer(struct span out, char tag)
{
    struct span line;
    while (span_next_field(&out, '\n', &line) == R_OK)
        if (line.n > 3 && line.p[0] == tag && line.p[1] == ' ')
            return line.p[2];
    return 0;
}

static void
play(struct served *s)
{
    struct span x = *(struct span *)s->arg;
    struct buf in, out;
    buf_init(&in, SIZE_MAX);
    buf_init(&out, SIZE_MAX);
    served_deliver(s, 7, "Subject: x\r\n\r\n", 0);
    buf_put_str(&in, "z SELECT INBOX\r\n");
    for (int i = 0; i < LAWS; i++) {
        served_put_law(&in, (char)('a' + i), laws[i], x);
        buf_put_str(&in, "y STORE 1 FLAGS (k)\r\ny NOOP\r\n");
    }
    buf_put_str(&in, "x NOTIFY NONE\r\n");
    served_talk(s, served_imap, buf_span(&in), SIZE_MAX, &out);
    served_check_imap(buf_span(&out));
    must(answer(buf_span(&out), 'x') == 'O');
    for (int i = 1; i < LAWS; i++)
        must(answer(buf_span(&out), (char)('a' + i)) == answer(buf_span(&out), 'a'));
    buf_done(&in);
    buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span x = span_of(data, size);
    bool plain = size > 0 && size < LIMIT_notify_names && !memchr(data, '{', size);
    for (size_t i = 0; i < size; i++)
        plain &= data[i] >= ' ' && data[i] < 0x7f;
    if (plain && !span_istarts(x, SPAN("STATUS ")))
        served_run(play, &x);
    return 0;
}
