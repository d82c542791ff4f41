#include "ctl/import_proof.h"

#include "mail/change.h"
#include "mail/marks.h"
#include "mail/message.h"

#include <openssl/evp.h>

enum { BATCH = 64 };

struct committed {
    uint32_t there, here;
    unsigned char sha[MESSAGE_HASH];
    size_t line, line_n;  // in lines
};

struct import_proof {
    struct buf committed;  // struct committed each, since the last check
    struct buf lines;
    EVP_MD_CTX *came, *here;
    uint64_t checked;
};

struct import_proof *
import_proof_new(void)
{
    struct import_proof *p = calloc(1, sizeof *p);
    must(p != NULL);
    buf_init(&p->committed, SIZE_MAX / 2);
    buf_init(&p->lines, SIZE_MAX / 2);
    p->came = EVP_MD_CTX_new();
    p->here = EVP_MD_CTX_new();
    must(p->came != NULL && p->here != NULL);
    return p;
}

void
import_proof_free(struct import_proof **pp)
{
    struct import_proof *p = *pp;
    if (p == NULL)
        return;
    *pp = NULL;
    EVP_MD_CTX_free(p->here);
    EVP_MD_CTX_free(p->came);
    buf_done(&p->lines);
    buf_done(&p->committed);
    free(p);
}

void
import_proof_begin(struct import_proof *p)
{
    must(EVP_DigestInit_ex(p->came, EVP_sha256(), NULL) == 1);
    must(EVP_DigestInit_ex(p->here, EVP_sha256(), NULL) == 1);
    buf_reset(&p->committed);
    buf_reset(&p->lines);
    p->checked = 0;
}

// ---- lines ----

static int
compare_words(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

// Of flags and keywords, in lower case and sorted.
static struct span
sorted_words(struct arena *a, struct span words)
{
    char *lower = arena_alloc(a, words.n + 1);
    struct span rest, *list = arena_array(a, words.n / 2 + 2, sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < words.n; i++)
        lower[i] = ascii_lower(words.p[i]);
    rest = span_of(lower, words.n);
    while (rest.n > 0 && span_next_field(&rest, ' ', &list[n]) == R_OK)
        n += mark_from(list[n]) == 0;
    qsort(list, n, sizeof *list, compare_words);
    struct buf b;
    buf_init(&b, words.n + 1);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s%.*s", i > 0 ? " " : "", SPAN_ARG(list[i]));
    struct span out = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return out;
}

static void
put_line(struct buf *b, uint32_t uid, struct span words, const unsigned char *sha)
{
    struct arena *a = arena_new_small();
    buf_printf(b, "%u %.*s ", uid, SPAN_ARG(sorted_words(a, words)));
    buf_put_hex(b, sha, MESSAGE_HASH);
    buf_put_char(b, '\n');
    arena_free(&a);
}

void
import_proof_add(struct import_proof *p, const struct import_proof_message *m)
{
    struct arena *a = arena_new_small();
    struct committed c = {.there = m->there, .here = m->here, .line = p->lines.n};
    must(m->sha256.n == sizeof c.sha);
    memcpy(c.sha, m->sha256.p, sizeof c.sha);
    put_line(&p->lines, m->there,
             change_flag_names(a, m->flags, m->keywords, m->keyword_count), c.sha);
    c.line_n = p->lines.n - c.line;
    buf_put(&p->committed, span_of(&c, sizeof c));
    arena_free(&a);
}

// ---- reading back ----

static int
by_there(const void *a, const void *b)
{
    const struct committed *x = a, *y = b;
    return (x->there > y->there) - (x->there < y->there);
}

static int
by_here(const void *a, const void *b)
{
    const struct committed *x = a, *y = b;
    return (x->here > y->here) - (x->here < y->here);
}

// Commits end in any order; the digest is by UID.
static void
take_lines(struct import_proof *p, struct committed *list, size_t n)
{
    qsort(list, n, sizeof *list, by_there);
    for (size_t i = 0; i < n; i++)
        must(EVP_DigestUpdate(p->came, p->lines.p + list[i].line, list[i].line_n) == 1);
}

static enum result
check_row(struct import_proof *p, struct view *v, const struct message_row *row,
          bool *same_out, const struct committed *c, struct fault *f)
{
    unsigned char sha[MESSAGE_HASH];
    struct span *keywords;
    size_t n;
    struct buf line;
    struct arena *a = arena_new_small();
    enum result r = message_hash(account_mail(view_account(v)), row, sha, f);
    if (r == R_OK)
        r = view_keywords(v, row->keywords, a, &keywords, &n, f);
    if (r == R_OK) {
        buf_init(&line, SIZE_MAX / 2);
        put_line(&line, row->uid, change_flag_names(a, row->flags, keywords, n), sha);
        must(EVP_DigestUpdate(p->here, line.p, line.n) == 1);
        buf_done(&line);
        *same_out = memcmp(sha, c->sha, sizeof sha) == 0;
        p->checked += *same_out;
    }
    arena_free(&a);
    return r;
}

static enum result
check_batch(struct import_proof *p, struct view *v, const struct view_message *messages,
            size_t n, struct seqset *wrong, struct fault *f)
{
    for (size_t i = 0; i < n; i++) {
        const struct committed key = {.here = messages[i].row.uid};
        const struct committed *c =
            bsearch(&key, p->committed.p, p->committed.n / sizeof key, sizeof key, by_here);
        bool same = false;
        must(c != NULL);
        if (check_row(p, v, &messages[i].row, &same, c, f) != R_OK)
            return R_FAIL;
        if (!same)
            seqset_add(wrong, c->there);
    }
    return R_OK;
}

enum result
import_proof_check(struct import_proof *p, struct view *v, struct arena *a,
                   struct seqset *wrong, struct fault *f)
{
    struct committed *list = (struct committed *)(void *)p->committed.p;
    size_t count = p->committed.n / sizeof *list, n;
    struct view_message messages[BATCH];
    struct view_cursor cursor;
    struct seqset here;
    if (count == 0)
        return R_OK;
    take_lines(p, list, count);
    qsort(list, count, sizeof *list, by_here);
    seqset_init(&here, a);
    for (size_t i = 0; i < count; i++)
        seqset_add(&here, list[i].here);
    enum result r = view_cursor_init(&cursor, v, &here, true, f);
    while (r == R_OK && (r = view_next(&cursor, messages, BATCH, &n, f)) == R_OK)
        r = check_batch(p, v, messages, n, wrong, f);
    buf_reset(&p->committed);
    buf_reset(&p->lines);
    return r == R_NONE ? R_OK : R_FAIL;
}

// ---- the end ----

static void
take_digest(EVP_MD_CTX *sha, char out[65])
{
    unsigned char octets[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct buf hex;
    must(EVP_DigestFinal_ex(sha, octets, &n) == 1 && n == 32);
    buf_init(&hex, 65);
    buf_put_hex(&hex, octets, n);
    memcpy(out, hex.p, 64);
    out[64] = '\0';
    buf_done(&hex);
}

void
import_proof_end(struct import_proof *p, struct import_proof_result *out)
{
    out->checked = p->checked;
    take_digest(p->came, out->came);
    take_digest(p->here, out->here);
}
