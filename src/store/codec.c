#include "store/codec.h"

#include "base/hash.h"
#include "base/seeded.h"

static void
identity_encode(const struct codec_context *ctx, struct span in, char *out)
{
    (void)ctx;
    if (in.n > 0)
        memcpy(out, in.p, in.n);
}

static enum result
identity_decode(const struct codec_context *ctx, struct span in, char *out)
{
    identity_encode(ctx, in, out);
    return R_OK;
}

// The scramble codec: an 8-octet tag, then the text under a key stream. It hides text from grep and notices
// a wrong context; it keeps no secret.
enum { SCRAMBLE_TAG = 8 };
static const uint64_t SCRAMBLE_KEY = 0x706f7374686f726eu;

static uint64_t
stream_start(const struct codec_context *ctx)
{
    uint64_t s = SCRAMBLE_KEY ^ ctx->key_id;
    s = seeded_u64(&s) ^ ctx->a;
    s = seeded_u64(&s) ^ ctx->b;
    return seeded_u64(&s);
}

static void
stream_xor(uint64_t state, struct span in, char *out)
{
    for (size_t i = 0; i < in.n; i += 8) {
        uint64_t key = seeded_u64(&state), word = 0;
        size_t n = in.n - i < 8 ? in.n - i : 8;
        memcpy(&word, in.p + i, n);
        word ^= key;
        memcpy(out + i, &word, n);
    }
}

static uint64_t
scramble_tag(uint64_t start, struct span plain)
{
    uint64_t s = hash64(plain) ^ start ^ plain.n;
    return seeded_u64(&s);
}

static void
scramble_encode(const struct codec_context *ctx, struct span in, char *out)
{
    uint64_t start = stream_start(ctx), tag = scramble_tag(start, in);
    memcpy(out, &tag, SCRAMBLE_TAG);
    stream_xor(start, in, out + SCRAMBLE_TAG);
}

static enum result
scramble_decode(const struct codec_context *ctx, struct span in, char *out)
{
    uint64_t start = stream_start(ctx), tag;
    if (in.n < SCRAMBLE_TAG)
        return R_FAIL;
    memcpy(&tag, in.p, SCRAMBLE_TAG);
    struct span text = span_skip(in, SCRAMBLE_TAG);
    stream_xor(start, text, out);
    return tag == scramble_tag(start, span_of(out, text.n)) ? R_OK : R_FAIL;
}

static const struct codec codecs[] = {
    {"identity", 0, 0, identity_encode, identity_decode},
    {"scramble", 1, SCRAMBLE_TAG, scramble_encode, scramble_decode},
};
enum { CODECS = sizeof codecs / sizeof codecs[0] };

const struct codec *
codec_find(uint8_t id)
{
    return id < CODECS ? &codecs[id] : NULL;
}

const struct codec *
codec_by_name(const char *name)
{
    for (size_t i = 0; i < CODECS; i++)
        if (strcmp(codecs[i].name, name) == 0)
            return &codecs[i];
    return NULL;
}
