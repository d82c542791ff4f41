// What a message says that it answers or forwards.
#include "mail/sent_inside.h"

#include "mail/intake_inside.h"
#include "mime/header.h"
#include "mime/message_id.h"

static void
add(struct sent_originals *o, struct arena *arena, struct span id, struct span subject,
    bool forwarded)
{
    if (id.n == 0 || o->n == SENT_ORIGINALS)
        return;
    for (size_t i = 0; i < o->n; i++)
        if (span_eq(o->p[i].id, id) && o->p[i].forwarded == forwarded)
            return;
    o->p[o->n++] =
        (struct sent_original){arena_dup(arena, id), arena_dup(arena, subject), forwarded};
}

// "Fwd: Hello", "FW : Hello" (RFC 5256 section 2.1).
static bool
says_forward(struct span subject)
{
    static const struct span words[] = {SPAN("fwd"), SPAN("fw")};
    for (size_t i = 0; i < 2; i++) {
        struct span rest = span_skip(subject, words[i].n);
        if (!span_ieq(span_slice(subject, 0, words[i].n), words[i]))
            continue;
        while (rest.n > 0 && rest.p[0] == ' ')
            rest = span_skip(rest, 1);
        if (rest.n > 0 && rest.p[0] == ':')
            return true;
    }
    return false;
}

static struct span
last_reference(struct span references)
{
    struct span id, last = SPAN("");
    while (span_next_field(&references, '\0', &id) == R_OK)
        last = id;
    return last;
}

static enum result
read_header(const struct intake *in, const struct mime_range *header, struct arena *arena,
            struct span *out, struct fault *f)
{
    size_t n = header->size < LIMIT_mime_header ? (size_t)header->size : LIMIT_mime_header;
    char *text = arena_alloc(arena, n + 1);
    *out = span_of(text, n);
    return intake_read(in, header->at, text, n, f);
}

// Thunderbird names what it forwards, also without attaching it.
static void
add_named(struct sent_originals *o, struct arena *arena, struct span header,
          struct span subject)
{
    struct mime_header field;
    struct buf id;
    if (mime_header_find(header, SPAN("X-Forwarded-Message-Id"), &field) != R_OK)
        return;
    struct mime_message_ids ids = {.rest = field.value};
    buf_init(&id, LIMIT_mime_header);
    while (o->n < SENT_ORIGINALS && mime_message_id_next(&ids, &id)) {
        add(o, arena, buf_span(&id), subject, true);
        buf_reset(&id);
    }
    buf_done(&id);
}

static enum result
add_attached(struct sent_originals *o, const struct intake *in, struct arena *arena,
             const struct mime_part *part, struct fault *f)
{
    struct mime_summary nested;
    struct span header;
    if (part->kind != MIME_KIND_MESSAGE || !part->child || o->n == SENT_ORIGINALS)
        return R_OK;
    if (read_header(in, &part->child->header, arena, &header, f) != R_OK ||
        mime_summary_whole(arena, header, &nested, f) != R_OK)
        return R_FAIL;
    add(o, arena, nested.message_id, nested.base_subject, true);
    return R_OK;
}

enum result
sent_originals_of(const struct intake *in, struct arena *arena, struct sent_originals *out,
                  struct fault *f)
{
    struct mime_summary s;
    struct span header;
    const struct mime_part *root = intake_root(in);
    out->n = 0;
    if (sent_summary(in, &s) != R_OK)
        return R_OK;
    if (read_header(in, &root->header, arena, &header, f) != R_OK)
        return R_FAIL;
    add_named(out, arena, header, s.base_subject);
    if (s.in_reply_to.n > 0)
        add(out, arena, s.in_reply_to, s.base_subject, says_forward(s.subject));
    else
        add(out, arena, last_reference(s.references), s.base_subject, true);
    if (add_attached(out, in, arena, root, f) != R_OK)
        return R_FAIL;
    for (const struct mime_part *p = root->child; p; p = p->next)
        if (add_attached(out, in, arena, p, f) != R_OK)
            return R_FAIL;
    return R_OK;
}
