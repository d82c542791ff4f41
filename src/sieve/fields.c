#include "sieve/parts.h"
#include "sieve/run.h"
#include "mime/address.h"
#include "mime/encoded_word.h"
#include "base/quoted.h"
#include "base/utf8.h"

bool
sieve_is_field_name(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
            return false;
    return name.n > 0;
}

struct span
sieve_one_line(struct arena *a, struct span text)
{
    char *p = arena_cstr(a, text);
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)p[i] < ' ' || p[i] == 127)
            p[i] = ' ';
    return span_of(p, text.n);
}

// :index and :last (RFC 5260 section 6) leave one field.
static enum result
choose(struct sieve_fields *it, const struct sieve_call *call)
{
    const struct sieve_value *index = sieve_tag(call, "index");
    if (index == NULL)
        return R_OK;
    size_t n = it->end;
    if (index->number < 1 || index->number > n) {
        it->end = 0;
        return R_OK;
    }
    it->at =
        sieve_tag(call, "last") ? n - (size_t)index->number : (size_t)index->number - 1;
    it->end = it->at + 1;
    return R_OK;
}

static void
gather(struct buf *found, struct span block, struct span name)
{
    struct mime_header_iter headers = mime_header_begin(block);
    struct mime_header h;
    while (mime_header_next(&headers, &h) == R_OK)
        if (span_ieq(h.name, name))
            buf_put(found, span_of(&h, sizeof h));
}

static void
gather_names(struct buf *found, struct span block, const struct span *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sieve_is_field_name(names[i]))
            gather(found, block, names[i]);
}

// Of what the script takes for the message, or as :mime and :anychild say (RFC 5703 section 4): of the part of the loop, and of those
// in it.
static enum result
gather_all(struct sieve_run *r, const struct sieve_call *call, const struct span *names,
           size_t n, struct buf *found)
{
    const struct mime_part *now = sieve_part_now(r), *within = sieve_part_root(r);
    bool mime = sieve_tag(call, "mime") != NULL;
    bool any = mime && sieve_tag(call, "anychild") != NULL;
    if (mime && now)
        within = now;
    for (const struct mime_part *part = within; part;
         part = any ? sieve_part_after(part, within) : NULL) {
        struct span block = r->message.header;
        if (part != r->message.root && call->command &&  // vacation looks at the message
            sieve_read(r, part->header.at, part->header.size, &block) != R_OK)
            return R_FAIL;
        if ((mime || part != r->message.root) &&  // the message's own is paid for
            sieve_work(r, 4 + n * (block.n / 16)) != R_OK)
            return R_FAIL;
        gather_names(found, block, names, n);
    }
    return R_OK;
}

enum result
sieve_fields_begin(struct sieve_fields *it, struct sieve_run *r,
                   const struct sieve_call *call, const struct span *names, size_t n)
{
    struct buf found;
    struct span bytes;
    *it = (struct sieve_fields){.run = r};
    if (sieve_work(r, n * (r->message.header.n / 16 + 1)) != R_OK)
        return R_FAIL;
    buf_init(&found, LIMIT_sieve_memory);
    if (gather_all(r, call, names, n, &found) != R_OK) {
        buf_done(&found);
        return R_FAIL;
    }
    it->end = found.n / sizeof(struct mime_header);
    if (sieve_take(r, &found, &bytes) != R_OK)
        return R_FAIL;
    it->all = it->end ? (void *)(uintptr_t)bytes.p : NULL;
    return choose(it, call);
}

enum result
sieve_fields_next(struct sieve_fields *it, struct span *value_out)
{
    struct buf b;
    if (it->at >= it->end)
        return R_NONE;
    struct span raw = it->all[it->at++].value;
    if (sieve_work(it->run, raw.n / 8) != R_OK)
        return R_FAIL;
    buf_init(&b, raw.n + 1);
    mime_header_unfold(&b, raw);
    enum result r = sieve_take(it->run, &b, value_out);
    if (r == R_OK)
        *value_out = span_trim(*value_out);
    return r;
}

enum result
sieve_decoded(struct sieve_run *r, struct span value, struct span *out)
{
    struct buf b;
    if (ascii_only(value) && span_find(value, SPAN("=?")) == value.n) {
        *out = value;
        return R_OK;
    }
    if (sieve_work(r, value.n) != R_OK)
        return R_FAIL;
    buf_init(&b, value.n * 4 + 64);
    mime_decode_words(&b, value);
    return sieve_take(r, &b, out);
}

bool
sieve_is_mailbox_list(struct arena *a, struct span text)
{
    const struct mime_address *m = mime_address_parse(a, text);
    bool any = m != NULL;
    for (size_t i = 0; i < text.n; i++)
        any &= (unsigned char)text.p[i] >= ' ' && text.p[i] != 127;
    for (; m; m = m->next)
        any &= m->kind == MIME_ADDRESS && m->route.n == 0 && m->mailbox.n > 0 &&
               sieve_host(m->host).n > 0;
    return any && text.n <= LIMIT_sieve_address;
}

bool
sieve_address_valid(struct arena *a, struct span text, struct span *out)
{
    const struct mime_address *m = mime_address_parse(a, text);
    struct buf b;
    if (m == NULL || m->next || m->kind != MIME_ADDRESS || m->route.n > 0 ||
        m->mailbox.n == 0 || sieve_host(m->host).n == 0)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 127)
            return false;
    if (text.n > LIMIT_sieve_address)
        return false;
    buf_init(&b, 2 * m->mailbox.n + m->host.n + 3);
    mime_address_put(&b, m);
    bool whole = !b.over;
    *out = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return whole && span_find_char(m->host, ' ') == m->host.n &&
           span_find_char(m->host, '@') == m->host.n;
}

static void
put_mailbox(struct buf *b, const struct mime_address *m)
{
    bool named = m->name.n > 0;
    if (named && ascii_only(m->name))
        quoted_put(b, m->name);
    else if (named)
        mime_encode_phrase(b, m->name);
    buf_put_str(b, named ? " <" : "");
    mime_address_put(b, m);
    buf_put_str(b, named ? ">" : "");
}

void
sieve_put_mailboxes(struct buf *b, struct arena *a, struct span list)
{
    const struct mime_address *m = ascii_only(list) ? NULL : mime_address_parse(a, list);
    if (m == NULL)
        buf_put(b, list);
    for (; m; m = m->next) {
        put_mailbox(b, m);
        buf_put_str(b, m->next ? ",\r\n " : "");
    }
}
