// Opens each store that is named on standard input, verifies it and lists all that is in it, one fact a line:
//   ok | fault WHY         how opening went; then, up to `end`:
//   report LINE            what opening or verification had to say
//   account ID USER MODSEQ
//   box NAME UIDVALIDITY UIDNEXT HIGHESTMODSEQ      (names are written in hexadecimal)
//   row UID FLAGS MODSEQ BLAKE2B-OF-THE-MESSAGE X-ID KEYWORD...
//   subscribed NAME
//   errors N               of verification
// With `all` also, each behind what it belongs to:
//   mailbox ID PARENT SPECIAL-USE FLAGS RECENT CREATED-MODSEQ HORIZON EXISTS UNSEEN DELETED SIZE
//   keyword NUMBER NAME
//   more SIZE ZONE DATE SAVED SENT EMAILID THREADID CACHE
//   private USER UID FLAGS MODSEQ
//   tombstone MAILBOX MODSEQ WHEN UID FLAGS SIZE DATE EMAILID THREADID MOVED KEYWORD-NUMBERS BLAKE2B X-ID
//   deleted ID PARENT CREATED-MODSEQ MODSEQ WHEN SPECIAL-USE FLAGS UIDNEXT EXISTS NAME
//   value MAILBOX NAME VALUE
//   thread KEY THREADID
// usage: store_list [SEGMENT-SIZE [all]]

#include "base/arena.h"
#include "base/buf.h"
#include "store/state_inside.h"
#include "store/store.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
put_hex(struct span s)
{
    putchar(' ');
    for (size_t i = 0; i < s.n; i++)
        printf("%02x", (unsigned char)s.p[i]);
}

static bool all;

typedef unsigned long long ull;

static void
put_digest(struct span s)
{
    unsigned char sum[16];
    crypto_generichash(sum, sizeof sum, (const unsigned char *)s.p, s.n, NULL, 0);
    put_hex(span_of(sum, sizeof sum));
}

static void
put_report(const char *line, void *arg)
{
    (void)arg;
    printf("report %s\n", line);
}

static void
put_body(struct store *s, const struct message_row *row)
{
    struct fault f;
    char *body = calloc(1, (size_t)row->size + 1);
    must(body != NULL);
    if (store_blob_read(s, row->blob, 0, row->size, body, &f) == R_OK) {
        put_digest(span_of(body, row->size));
        char *id = strstr(body, "X-Id: ");
        printf(" %.*s", id ? (int)strcspn(id + 6, "\r\n") : 1, id ? id + 6 : "-");
    } else {
        printf(" unreadable -");
    }
    free(body);
}

static void
put_more(struct store *s, const struct message_row *row)
{
    struct span cache;
    struct store_cache_reader *r = store_cache_begin(s);
    printf("more %u %d %lld %u %u %llu %llu", row->size, row->zone_min,
           (long long)row->internal_date, row->save_date, row->sent, (ull)row->emailid,
           (ull)row->threadid);
    if (store_cache_find(r, row->blob, &cache) == R_OK)
        put_digest(cache);
    else
        printf(" -");
    putchar('\n');
    store_cache_end(&r);
}

static void
put_header(const struct mailbox_state *m)
{
    const struct mailbox_counts *c = &m->counts;
    printf("mailbox %llu %llu %u %u %u %llu %llu %u %u %u %llu\n", (ull)m->id,
           (ull)m->parent, m->special_use, m->flags, m->recent_mark, (ull)m->created_modseq,
           (ull)m->horizon, c->exists, c->unseen, c->deleted, (ull)c->size);
    for (uint32_t i = 0; i < m->keyword_count; i++)
        printf("keyword %u %.*s\n", i, SPAN_ARG(m->keywords[i]));
}

// Those of a mailbox that is there, or of a deleted one.
static enum result
put_tombstones(struct store *s, struct state *st, uint64_t mailbox, struct fault *f)
{
    struct store_tombstones found = {.a = arena_new()};
    enum result r = store_tombstones(s, st, mailbox, &found, f);
    for (size_t i = 0; r == R_OK && i < found.n; i++) {
        const struct store_tombstone *t = &found.list[i];
        printf("tombstone %llu %llu %lld %u %u %u %lld %llu %llu %d", (ull)mailbox,
               (ull)t->modseq, (long long)t->when_s, t->row.uid, t->row.flags, t->row.size,
               (long long)t->row.internal_date, (ull)t->row.emailid, (ull)t->row.threadid,
               t->moved);
        put_hex(t->keywords);
        put_body(s, &t->row);
        putchar('\n');
    }
    arena_free(&found.a);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
put_deleted(struct store *s, struct state *st, struct fault *f)
{
    struct store_deleted found = {.a = arena_new(), .max = SIZE_MAX};
    enum result r = store_deleted(s, st, &found, f);
    for (struct store_deleted_mailbox *m = found.first; r == R_OK && m; m = m->next) {
        printf("deleted %llu %llu %llu %llu %lld %u %u %u %u", (ull)m->id, (ull)m->parent,
               (ull)m->created_modseq, (ull)m->modseq, (long long)m->when_s, m->special_use,
               m->flags, m->counts.uidnext, m->counts.exists);
        put_hex(m->name);
        putchar('\n');
        r = put_tombstones(s, st, m->id, f);
    }
    arena_free(&found.a);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
put_privates(struct store *s, struct state *st, uint64_t mailbox, uint64_t user,
             struct fault *f)
{
    struct store_privates found = {.a = arena_new()};
    enum result r = store_privates(s, st, mailbox, user, &found, f);
    for (size_t i = 0; r == R_OK && i < found.n; i++)
        printf("private %llu %u %u %llu\n", (ull)user, found.list[i].uid,
               found.list[i].flags, (ull)found.list[i].modseq);
    arena_free(&found.a);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static int
compare_values(struct value_entry *a, struct value_entry *b)
{
    return span_cmp(a->key, b->key);
}

static void
put_values(struct state *st)
{
    HASH_SORT(st->inside->values, compare_values);
    for (struct value_entry *v = st->inside->values; v; v = v->hh.next) {
        struct unpack u = unpack_of(v->key);
        printf("value %llu", (ull)unpack_u64(&u));
        put_hex(u.rest);
        put_hex(v->value);
        putchar('\n');
    }
}

static enum result
put_threads(struct store *s, struct state *st, struct fault *f)
{
    struct arena *a = arena_new();
    struct store_thread_key *keys;
    size_t n = 0;
    enum result r = store_thread_keys(s, st, a, &keys, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        printf("thread %llu %llu\n", (ull)keys[i].key, (ull)keys[i].threadid);
    arena_free(&a);
    return r == R_FAIL ? R_FAIL : R_OK;
}

// What belongs to the account and to no mailbox that is there.
static enum result
put_account_more(struct store *s, struct state *st, struct fault *f)
{
    put_values(st);
    enum result r = put_deleted(s, st, f);
    return r == R_OK ? put_threads(s, st, f) : r;
}

static void
put_row(struct store *s, const struct mailbox_state *m, const struct message_row *row)
{
    size_t n;
    printf("row %u %u %llu", row->uid, row->flags, (unsigned long long)row->modseq);
    put_body(s, row);
    const uint32_t *numbers = keyword_sets_get(m->sets, row->keywords, &n);
    for (size_t i = 0; i < n; i++)
        printf(" %.*s", SPAN_ARG(m->keywords[numbers[i]]));
    putchar('\n');
    if (all)
        put_more(s, row);
}

static enum result
put_mailbox(struct store *s, struct state *st, struct mailbox_state *m, struct fault *f)
{
    printf("box");
    put_hex(m->name);
    printf(" %u %u %llu\n", m->uidvalidity, m->counts.uidnext,
           (unsigned long long)m->counts.modseq);
    if (all)
        put_header(m);
    if (store_table_load(s, st, m->id, f) != R_OK)
        return R_FAIL;
    for (uint32_t i = 0; i < m->counts.exists; i++)
        put_row(s, m, &m->rows[i]);
    return all ? put_tombstones(s, st, m->id, f) : R_OK;
}

static enum result
put_account_privates(struct store *s, struct state *st, const uint64_t *users, size_t n,
                     struct fault *f)
{
    enum result r = R_OK;
    for (uint32_t i = 0; i < st->mailbox_count; i++)
        for (size_t k = 0; r == R_OK && k < n; k++)
            r = put_privates(s, st, st->mailboxes[i]->id, users[k], f);
    return r;
}

static enum result
put_account(struct store *s, const uint64_t *ids, size_t n, size_t at, struct fault *f)
{
    struct state *st;
    uint64_t id = ids[at];
    enum result r = store_state_load(s, id, &st, f);
    if (r != R_OK)
        return r;
    printf("account %llu %.*s %llu\n", (unsigned long long)id, SPAN_ARG(st->user),
           (unsigned long long)st->modseq);
    for (uint32_t i = 0; r == R_OK && i < st->mailbox_count; i++)
        r = put_mailbox(s, st, st->mailboxes[i], f);
    for (uint32_t i = 0; i < st->subscription_count; i++) {
        printf("subscribed");
        put_hex(st->subscriptions[i].name);
        putchar('\n');
    }
    if (all && r == R_OK)
        r = put_account_privates(s, st, ids, n, f);
    if (all && r == R_OK)
        r = put_account_more(s, st, f);
    state_free(&st);
    return r;
}

static enum result
put_all(struct store *s, struct fault *f)
{
    struct store_verify_result verified;
    struct arena *a = arena_new();
    uint64_t *ids;
    size_t n = 0;
    enum result r = store_accounts(s, a, &ids, &n, f);
    for (size_t i = 0; i < n && r != R_FAIL; i++)
        r = put_account(s, ids, n, i, f);
    arena_free(&a);
    if (r != R_FAIL)
        r = store_verify(s, put_report, NULL, &verified, f);
    if (r == R_OK)
        printf("errors %llu\n", (unsigned long long)verified.errors);
    return r;
}

static void
list(const char *path, uint64_t segment_size)
{
    struct store_options o = {.path = path,
                              .engine = "embedded",
                              .codec = "identity",
                              .segment_size = segment_size,
                              .io_threads = 1,
                              .report = put_report};
    struct store *s = NULL;
    struct fault f;
    enum result r = store_open(&o, &s, &f);
    if (r == R_OK)
        puts("ok");
    if (r == R_OK)
        r = put_all(s, &f);
    if (r == R_FAIL)
        printf("fault %s\n", f.why);
    store_close(&s);
    puts("end");
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    char path[4096];
    all = argc > 2 && strcmp(argv[2], "all") == 0;
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = '\0';
        list(path, argc > 1 ? strtoull(argv[1], NULL, 10) : 0);
    }
    return 0;
}
