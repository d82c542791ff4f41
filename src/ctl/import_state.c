#include "ctl/import_state.h"

#include "mail/metadata.h"

#include <openssl/evp.h>

enum { HASH = 8, VALUE_MAX = 128 };

static struct span
entry_of(struct arena *a, struct span source)
{
    unsigned char sha[EVP_MAX_MD_SIZE];
    struct buf b;
    must(EVP_Digest(source.p, source.n, sha, NULL, EVP_sha256(), NULL) == 1);
    buf_init(&b, 128);
    buf_put_str(&b, IMPORT_STATE_ENTRIES);
    buf_put_hex(&b, sha, HASH);
    struct span name = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return name;
}

static enum result
read_value(struct span value, struct parcel_state *out)
{
    struct span word[4];
    struct parcel_state s = {0};
    for (int i = 0; i < 4; i++)
        if (span_next_field(&value, ' ', &word[i]) != R_OK)
            return R_FAIL;
    if (span_to_u32(word[0], &s.uidvalidity) != R_OK ||
        span_to_u32(word[1], &s.done) != R_OK ||
        span_to_u32(word[2], &s.messages) != R_OK ||
        span_to_u64(word[3], &s.modseq) != R_OK)
        return R_FAIL;
    *out = s;
    return R_OK;
}

void
import_state_load(struct mail_user *u, struct span target, struct span source,
                  struct parcel_state *out)
{
    struct metadata_place place;
    struct metadata_value value;
    struct arena *a = arena_new();
    struct fault why;
    *out = (struct parcel_state){0};
    if (metadata_place(u, target, &place, &why) == R_OK &&
        metadata_get(&place, entry_of(a, source), VALUE_MAX, a, &value) == R_OK)
        (void)!read_value(value.octets, out);  // what is wrong was written by somebody else
    arena_free(&a);
}

enum result
import_state_save(struct mail_user *u, struct span target, struct span source,
                  const struct parcel_state *s, struct fault *f)
{
    struct metadata_place place;
    char text[VALUE_MAX];
    if (metadata_place(u, target, &place, f) != R_OK)
        return R_FAIL;
    struct arena *a = arena_new();
    snprintf(text, sizeof text, "%u %u %u %llu", s->uidvalidity, s->done, s->messages,
             (unsigned long long)s->modseq);
    struct metadata_entry entry = {entry_of(a, source), span_str(text)};
    struct metadata_change change = {.entries = &entry, .n = 1};
    enum result r = metadata_set(&place, &change, a, f);
    arena_free(&a);
    return r;
}
