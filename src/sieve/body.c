#include "sieve/run.h"
#include "mime/encoded_word.h"
#include "mime/transfer.h"

enum result
sieve_read(struct sieve_run *r, uint64_t at, uint64_t n, struct span *out)
{
    struct fault f;
    const struct sieve_message *m = &r->message;
    n = n < LIMIT_sieve_body ? n : LIMIT_sieve_body;
    *out = SPAN("");
    if (sieve_room(r, n) != R_OK || sieve_work(r, n / 16 + 1) != R_OK)
        return R_FAIL;
    if (n == 0)
        return R_OK;
    char *p = arena_alloc(r->scratch, n);
    if (m->read(m->read_arg, at, p, n, &f) != R_OK)
        return sieve_fail(r, NULL, "the message cannot be read");
    *out = span_of(p, n);
    return R_OK;
}

static enum result
decode(struct sieve_run *r, enum mime_encoding encoding, struct span raw, struct span *out)
{
    struct mime_decoder d = mime_decoder_of(encoding, true);
    struct buf b;
    struct fault f;
    *out = raw;
    if (encoding == MIME_ENC_IDENTITY || encoding == MIME_ENC_UNKNOWN)
        return R_OK;
    buf_init(&b, raw.n + 256);
    enum result result = mime_decoder_feed(&d, raw, &b, &f);
    if (result == R_OK)
        result = mime_decoder_end(&d, &b, &f);
    if (result != R_OK) {
        buf_done(&b);
        return R_OK;  // as it is
    }
    return sieve_take(r, &b, out);
}

static enum result
to_utf8(struct sieve_run *r, const struct mime_part *part, struct span *text)
{
    struct buf label, b;
    struct fault f;
    buf_init(&label, 200);
    buf_init(&b, text->n * 4 + 64);
    if (mime_param_find(part->params, SPAN("charset"), &label) != R_OK ||
        mime_charset_to_utf8(buf_span(&label), *text, &b, &f) != R_OK) {
        buf_reset(&b);
        mime_utf8_clean(&b, *text);
    }
    buf_done(&label);
    return sieve_take(r, &b, text);
}

enum result
sieve_part_decoded(struct sieve_run *r, const struct mime_part *part, struct span *out)
{
    struct span raw;
    if (sieve_read(r, part->body.at, part->body.size, &raw) != R_OK ||
        sieve_work(r, raw.n / 4) != R_OK || decode(r, part->encoding, raw, out) != R_OK)
        return R_FAIL;
    bool text = part->type.p == NULL || span_ieq(part->type, SPAN("text"));
    return text ? to_utf8(r, part, out) : R_OK;
}
