// IMAP before login: no crash, nothing consumed beyond what was given. The first octet chooses auth's answers.
#include "imap/preauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_span(void *gate, struct span s)
{
    *(size_t *)gate += s.n;
}

static void
on_nothing(void *gate)
{
    (void)gate;
}

static void
on_start(void *gate, const struct auth_start *s)
{
    *(size_t *)gate += s->user.n + s->password.n + s->initial.n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct preauth_ops ops = {on_span, on_nothing, on_start,
                                           on_span, on_nothing, on_nothing};
    struct preauth_facts facts = {
        .can_starttls = true, .plaintext_auth = true, .mechanisms = SPAN("PLAIN")};
    const struct preauth_service *imap = &imap_preauth_service;
    size_t sum = 0, n = 1, answers = size ? data[0] : 0;
    struct span in = span_skip(span_of(data, size), 1);
    struct preauth *m = imap->open(&facts, &ops, &sum);
    for (imap->greet(m); n > 0 && imap->state(m) == PREAUTH_READING;
         answers = answers >> 2 | answers << 6) {
        n = imap->input(m, in);
        must(n <= in.n);
        in = span_skip(in, n);
        struct auth_reply reply = {.verdict = answers & 2 ? AUTH_CONTINUE : AUTH_REFUSED,
                                   .fault = FAULT_AUTHFAILED};
        if (imap->state(m) == PREAUTH_WAITING)
            imap->auth_reply(m, &reply);
    }
    imap->free(&m);
    return 0;
}
