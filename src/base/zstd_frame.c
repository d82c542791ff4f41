#include "base/zstd_frame.h"

#include <pthread.h>
#include <zstd.h>

enum { CONTEXT_MAX = 1 << 20 };  // octets that a thread keeps for a way

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t pack_key, unpack_key;

static void
pack_free(void *context)
{
    ZSTD_freeCCtx(context);
}

static void
unpack_free(void *context)
{
    ZSTD_freeDCtx(context);
}

static void
make_keys(void)
{
    must(pthread_key_create(&pack_key, pack_free) == 0);
    must(pthread_key_create(&unpack_key, unpack_free) == 0);
}

static ZSTD_CCtx *
pack_context(void)
{
    must(pthread_once(&once, make_keys) == 0);
    ZSTD_CCtx *c = pthread_getspecific(pack_key);
    if (!c) {
        c = ZSTD_createCCtx();
        must(c != NULL && pthread_setspecific(pack_key, c) == 0);
    }
    return c;
}

static ZSTD_DCtx *
unpack_context(void)
{
    must(pthread_once(&once, make_keys) == 0);
    ZSTD_DCtx *c = pthread_getspecific(unpack_key);
    if (!c) {
        c = ZSTD_createDCtx();
        must(c != NULL && pthread_setspecific(unpack_key, c) == 0);
    }
    return c;
}

size_t
zstd_pack_max(size_t n)
{
    return ZSTD_compressBound(n);
}

size_t
zstd_pack(struct span plain, int level, char *out, size_t max)
{
    ZSTD_CCtx *c = pack_context();
    size_t n = ZSTD_compressCCtx(c, out, max, plain.p, plain.n, level);
    if (ZSTD_sizeof_CCtx(c) > CONTEXT_MAX) {
        must(pthread_setspecific(pack_key, NULL) == 0);
        pack_free(c);
    }
    return ZSTD_isError(n) ? 0 : n;
}

// The library would also take several frames, ones to be skipped, and those of the format's drafts, whose readers nobody
// looks at any more.
static bool
is_one_frame(struct span packed, size_t n)
{
    static const unsigned char magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    return packed.n >= sizeof magic && memcmp(packed.p, magic, sizeof magic) == 0 &&
           ZSTD_getFrameContentSize(packed.p, packed.n) == n &&
           ZSTD_findFrameCompressedSize(packed.p, packed.n) == packed.n;
}

enum result
zstd_unpack(struct span packed, char *out, size_t n)
{
    if (!is_one_frame(packed, n))
        return R_FAIL;
    return ZSTD_decompressDCtx(unpack_context(), out, n, packed.p, packed.n) == n ? R_OK
                                                                                  : R_FAIL;
}
