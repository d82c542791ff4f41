#include "bench/turn.h"

static void
put_word(const struct load *l, struct session *s, char letter)
{
    struct buf *b = &s->out;
    switch (letter) {
    case 'm':
        buf_put_str(b, l->mailbox);
        break;
    case 'd':
        buf_put_str(b, l->target);
        break;
    case 's':
        buf_put_char(b, s->turns % 2 == 0 ? '+' : '-');
        break;
    case 'r':
        buf_put_u64(b, ((s->turns / 2) * 7919 + s->index * 104729) % l->range + 1);
        break;
    case 'w':
        for (const char *c = l->word; *c; c++)
            buf_put_char(b, *c == '+' ? ' ' : *c);
        break;
    case 'n':
        buf_put_u64(b, s->turns);
        break;
    default:
        buf_put_char(b, letter);
    }
}

static void
put_words(const struct load *l, struct session *s, const char *text)
{
    if (strcmp(text, "%p") == 0 || strcmp(text, "%c") == 0)
        text = text[1] == 'p' ? l->prepare : l->command;
    for (; *text != '\0'; text++) {
        if (*text == '%' && text[1] != '\0')
            put_word(l, s, *++text);
        else
            buf_put_char(&s->out, *text);
    }
}

// The next of the commands of `account`; false after the last. APPEND takes a message along.
static bool
put_piece(const struct load *l, struct session *s)
{
    struct span rest = span_str(l->command), piece = SPAN_NONE;
    for (uint64_t i = 0; i <= s->piece; i++)
        if (span_next_field(&rest, ';', &piece) != R_OK)
            return false;
    s->piece++;
    session_tag(s);
    buf_put(&s->out, piece);
    if (span_starts(piece, SPAN("APPEND"))) {
        struct span mail = corpus_next(l->corpus);
        buf_printf(&s->out, " {%zu+}\r\n", mail.n);
        buf_put(&s->out, mail);
    }
    buf_put_str(&s->out, "\r\n");
    return true;
}

static bool
in_pieces(const struct load *l)
{
    return l->op->kind == OP_LOGIN && strcmp(l->op->command, "%c") == 0;
}

static void
put_command(const struct load *l, struct session *s, const char *text)
{
    session_tag(s);
    put_words(l, s, text);
    buf_put_str(&s->out, "\r\n");
}

static void
greet(const struct load *l, struct session *s)
{
    if (l->op->kind == OP_LMTP) {
        buf_put_str(&s->out, "LHLO bench.example\r\n");
        s->await = AWAIT_CODES;
        s->codes = 1;
        s->phase = PHASE_PREPARE;
        return;
    }
    if (l->op->kind == OP_POP3) {
        buf_printf(&s->out, "USER u%u\r\nPASS %s\r\n", s->user, l->password);
        s->await = AWAIT_OKS;
        s->codes = 2;
        s->phase = PHASE_LOGIN;
        return;
    }
    session_tag(s);
    buf_printf(&s->out, "LOGIN u%u %s\r\n", s->user, l->password);
    s->phase = PHASE_LOGIN;
}

void
turn_prepare(const struct load *l, struct session *s)
{
    const char *prepare = s->stands_by ? "SELECT INBOX" : l->op->prepare;
    if (s->phase == PHASE_GREETING) {
        greet(l, s);
    } else if (s->phase == PHASE_LOGIN && prepare[0] != '\0') {
        put_command(l, s, prepare);
        s->phase = PHASE_PREPARE;
    } else {
        s->phase = PHASE_READY;
        s->await = AWAIT_NOTHING;
    }
}

static void
begin_append(const struct load *l, struct session *s)
{
    struct span mail = corpus_next(l->corpus);
    session_tag(s);
    put_words(l, s, l->op->command);
    buf_printf(&s->out, " {%zu+}\r\n", mail.n);
    buf_put(&s->out, mail);
    buf_put_str(&s->out, "\r\n");
}

static void
begin_delivery(struct session *s)
{
    buf_printf(&s->out, "MAIL FROM:<sender@example.org>\r\nRCPT TO:<u%u>\r\nDATA\r\n",
               s->user);
    s->await = AWAIT_CODES;
    s->codes = 3;
}

// One message, the next in turn, or all of them at once.
static void
begin_retrieval(const struct load *l, struct session *s)
{
    bool all = l->op->command[0] == '\0';
    uint64_t first = all ? 1 : s->turns % l->range + 1, last = all ? l->range : first;
    for (uint64_t n = first; n <= last; n++)
        buf_printf(&s->out, "RETR %lu\r\n", (unsigned long)n);
    s->await = AWAIT_DOTS;
    s->codes = (unsigned)(last - first + 1);
}

void
turn_begin(const struct load *l, struct session *s)
{
    s->phase = PHASE_BUSY;
    s->piece = 0;
    if (l->op->kind == OP_APPEND)
        begin_append(l, s);
    else if (l->op->kind == OP_LMTP)
        begin_delivery(s);
    else if (l->op->kind == OP_POP3)
        begin_retrieval(l, s);
    else if (in_pieces(l))
        (void)put_piece(l, s);
    else
        put_command(l, s, s->stands_by ? "NOOP" : l->op->command);
    s->turns++;
}

bool
turn_step(const struct load *l, struct session *s)
{
    if (in_pieces(l))
        return !put_piece(l, s);
    if (l->op->kind != OP_LMTP || s->phase == PHASE_DATA)
        return true;
    buf_put(&s->out, corpus_next(l->corpus));
    buf_put_str(&s->out, ".\r\n");
    s->codes = 1;
    s->phase = PHASE_DATA;
    return false;
}
