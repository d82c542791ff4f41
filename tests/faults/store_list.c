// Opens each store that is named on standard input, verifies it and lists all that is in it, one fact a line:
//   ok | fault WHY         how opening went; then, up to `end`:
//   report LINE            what opening or verification had to say
//   account ID USER MODSEQ
//   box NAME UIDVALIDITY UIDNEXT HIGHESTMODSEQ      (names are written in hexadecimal)
//   row UID FLAGS MODSEQ BLAKE2B-OF-THE-MESSAGE X-ID KEYWORD...
//   subscribed NAME
//   errors N               of verification
// usage: store_list [SEGMENT-SIZE]

#include "base/arena.h"
#include "base/buf.h"
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

static void
put_report(const char *line, void *arg)
{
    (void)arg;
    printf("report %s\n", line);
}

static void
put_body(struct store *s, const struct message_row *row)
{
    unsigned char sum[16];
    struct fault f;
    char *body = calloc(1, (size_t)row->size + 1);
    must(body != NULL);
    if (store_blob_read(s, row->blob, 0, row->size, body, &f) == R_OK) {
        crypto_generichash(sum, sizeof sum, (unsigned char *)body, row->size, NULL, 0);
        put_hex(span_of(sum, sizeof sum));
        char *id = strstr(body, "X-Id: ");
        printf(" %.*s", id ? (int)strcspn(id + 6, "\r\n") : 1, id ? id + 6 : "-");
    } else {
        printf(" unreadable -");
    }
    free(body);
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
}

static enum result
put_mailbox(struct store *s, struct state *st, struct mailbox_state *m, struct fault *f)
{
    printf("box");
    put_hex(m->name);
    printf(" %u %u %llu\n", m->uidvalidity, m->counts.uidnext,
           (unsigned long long)m->counts.modseq);
    if (store_table_load(s, st, m->id, f) != R_OK)
        return R_FAIL;
    for (uint32_t i = 0; i < m->counts.exists; i++)
        put_row(s, m, &m->rows[i]);
    return R_OK;
}

static enum result
put_account(struct store *s, uint64_t id, struct fault *f)
{
    struct state *st;
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
        r = put_account(s, ids[i], f);
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
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = '\0';
        list(path, argc > 1 ? strtoull(argv[1], NULL, 10) : 0);
    }
    return 0;
}
