// RFC 9585: INPROGRESS. Who waits for a command is told every second that it goes on, and how far it is.
#include "imap/session.h"

#include "wire/quote.h"

enum { TAG_MAX = 256 };

// Section 4: the tag is NIL where "]" in it would end the code. It is always quoted, so a long one is not told.
static void
put_tag(struct buf *b, struct span tag)
{
    if (tag.n > TAG_MAX || span_find_char(tag, ']') < tag.n)
        buf_put(b, SPAN("NIL"));
    else
        quote_string(b, tag, false);
}

// The goal is not told when it is reached: the tagged answer says so.
static void
put_state(struct buf *b, const struct imap_progress *p)
{
    if (p->done == 0 && p->goal == 0)
        buf_put(b, SPAN(" NIL NIL"));
    else if (p->done < p->goal && p->goal <= UINT32_MAX)
        buf_printf(b, " %llu %llu", (unsigned long long)p->done,
                   (unsigned long long)p->goal);
    else
        buf_printf(b, " %llu NIL", (unsigned long long)p->done);
}

// The session's line may hold what the command is about to say: this one goes by itself.
static void
on_tick(struct imap_session *s)
{
    const struct imap_command *c = s->command;
    struct buf b;
    buf_init(&b, TAG_MAX * 2 + 128);
    buf_put(&b, SPAN("* OK [INPROGRESS ("));
    put_tag(&b, c->tag);
    put_state(&b, &c->progress);
    buf_put(&b, SPAN(")] "));
    buf_put_str(&b, imap_text(s->language, "Working on it"));
    buf_put_str(&b, "\r\n");
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

const struct imap_ext imap_ext_inprogress = {
    .name = "inprogress",
    .rfc = "RFC 9585",
    .capability = "INPROGRESS",
    .on_tick = on_tick,
};
