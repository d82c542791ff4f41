#include "ctl/progress.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "ctl/output.h"

#include <unistd.h>

enum { SHOW_MS = 200 };

void
progress_init(struct progress *p)
{
    *p = (struct progress){.shown = isatty(STDERR_FILENO) == 1 && !output_is_json()};
}

static void
show(struct progress *p, bool last)
{
    uint64_t now = clock_mono_ms();
    if (!p->shown || p->mailbox[0] == '\0' || (!last && now < p->at_ms + SHOW_MS))
        return;
    p->at_ms = now;
    fprintf(stderr, "\r\033[K%s %llu/%llu%s", p->mailbox, (unsigned long long)p->messages,
            (unsigned long long)p->of, last ? "\n" : "");
}

void
progress_mailbox(struct progress *p, struct span name, uint64_t of)
{
    struct buf b;
    show(p, true);
    buf_init(&b, sizeof p->mailbox);
    utf8_put_visible(&b, name, "", sizeof p->mailbox - 1);
    buf_put_char(&b, '\0');
    memcpy(p->mailbox, b.p, b.n);
    buf_done(&b);
    p->messages = 0;
    p->of = of;
}

void
progress_message(struct progress *p)
{
    p->messages++;
    if (p->of < p->messages)
        p->of = p->messages;
    show(p, false);
}

void
progress_end(struct progress *p)
{
    show(p, true);
    p->mailbox[0] = '\0';
}
