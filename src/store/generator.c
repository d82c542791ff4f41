#include "store/generator.h"

#include "base/limits.h"

void
generator_init(struct generator *g, uint64_t account, uint64_t seed)
{
    *g = (struct generator){
        .state = state_new_keeping(account), .seed = seed | 1, .mailboxes_max = 6};
    buf_init(&g->meta, LIMIT_record_meta);
}

void
generator_done(struct generator *g)
{
    state_free(&g->state);
    buf_done(&g->meta);
}

uint64_t
generator_random(struct generator *g, uint64_t below)
{
    g->seed ^= g->seed << 13;
    g->seed ^= g->seed >> 7;
    g->seed ^= g->seed << 17;
    return g->seed % below;
}

void
generator_apply(struct generator *g, struct record_place place)
{
    struct fault f;
    must(state_apply(g->state, g->type, buf_span(&g->meta), place, &f) == R_OK);
}

static struct mailbox_state *
any_mailbox(struct generator *g)
{
    uint32_t n = g->state->mailbox_count;
    return n > 0 ? g->state->mailboxes[generator_random(g, n)] : NULL;
}

static uint64_t
next_id(struct generator *g)
{
    return g->state->account << 40 | ++g->id;
}

static void
make_mailbox(struct generator *g)
{
    struct mailbox_state *m = generator_random(g, 3) == 0 ? any_mailbox(g) : NULL;
    char name[32];
    int n = snprintf(name, sizeof name, "box %llu",
                     (unsigned long long)generator_random(g, 1000));
    struct record_mailbox r = {.id = m ? m->id : next_id(g),
                               .parent = 0,
                               .modseq = ++g->modseq,
                               .name = span_of(name, (size_t)n),
                               .uidvalidity = m ? m->uidvalidity : (uint32_t)(1 + g->id),
                               .special_use = (uint8_t)generator_random(g, USE_COUNT)};
    g->type = RECORD_MAILBOX;
    record_mailbox_put(&g->meta, &r);
}

// ---- messages ----

static void
random_keywords(struct generator *g, const struct mailbox_state *m, struct buf *b)
{
    for (uint32_t i = 0; i < m->keyword_count; i++)
        if (generator_random(g, 3) == 0)
            record_keywords_add(b, i);
}

static void
count(struct mailbox_counts *c, const struct message_row *row, int by)
{
    c->exists += (uint32_t)by;
    c->size += (uint64_t)(int64_t)by * row->size;
    c->unseen += row->flags & FLAG_SEEN ? 0 : (uint32_t)by;
    c->deleted += row->flags & FLAG_DELETED ? (uint32_t)by : 0;
}

static void
make_added(struct generator *g, struct mailbox_state *m)
{
    struct buf keywords;
    buf_init(&keywords, 4096);
    random_keywords(g, m, &keywords);
    struct record_added r = {
        .mailbox = m->id, .keywords = buf_span(&keywords), .counts = m->counts};
    r.row =
        (struct message_row){.uid = m->counts.uidnext + (uint32_t)generator_random(g, 3),
                             .size = (uint32_t)generator_random(g, 100000),
                             .flags = (uint16_t)generator_random(g, FLAG_ALL + 1),
                             .zone_min = 60,
                             .modseq = ++g->modseq,
                             .internal_date = (int64_t)generator_random(g, 2000000000),
                             .save_date = 1700000000,
                             .sent = (uint16_t)generator_random(g, 3),
                             .emailid = next_id(g),
                             .threadid = next_id(g)};
    r.counts.uidnext = r.row.uid + 1;
    r.counts.modseq = g->modseq;
    count(&r.counts, &r.row, 1);
    r.thread_keys = SPAN("8 octets16octets");
    r.cache = generator_random(g, 4) > 0 ? SPAN("(\"envelope\" \"structure\")") : SPAN_NONE;
    g->type = RECORD_ADDED;
    record_added_put(&g->meta, &r);
    buf_done(&keywords);
}

static void
make_copied(struct generator *g, struct mailbox_state *from, struct mailbox_state *to)
{
    struct buf rows, keywords;
    buf_init(&rows, LIMIT_record_meta);
    buf_init(&keywords, 4096);
    struct record_copied r = {.mailbox = to->id, .counts = to->counts};
    r.counts.modseq = ++g->modseq;
    for (uint32_t i = 0; i < from->counts.exists; i++) {
        if (generator_random(g, 3) != 0)
            continue;
        buf_reset(&keywords);
        random_keywords(g, to, &keywords);
        struct record_row row = {from->rows[i], buf_span(&keywords)};
        row.row.uid = r.counts.uidnext++;
        row.row.modseq = g->modseq;
        row.row.keywords = 0;
        count(&r.counts, &row.row, 1);
        record_rows_add(&rows, &row);
    }
    r.rows = buf_span(&rows);
    g->type = RECORD_COPIED;
    record_copied_put(&g->meta, &r);
    buf_done(&rows);
    buf_done(&keywords);
}

static void
make_flags(struct generator *g, struct mailbox_state *m)
{
    struct buf groups, ranges, keywords;
    buf_init(&groups, LIMIT_record_meta);
    buf_init(&ranges, LIMIT_record_meta);
    buf_init(&keywords, 4096);
    random_keywords(g, m, &keywords);
    struct record_flags r = {.mailbox = m->id, .modseq = ++g->modseq, .counts = m->counts};
    struct record_group group = {.flags = (uint16_t)generator_random(g, FLAG_ALL + 1),
                                 .keywords = buf_span(&keywords)};
    r.counts.modseq = g->modseq;
    for (uint32_t i = 0; i < m->counts.exists; i++) {
        if (generator_random(g, 4) != 0)
            continue;
        struct message_row now = m->rows[i];
        count(&r.counts, &now, -1);
        now.flags = group.flags;
        count(&r.counts, &now, 1);
        record_ranges_add(&ranges, now.uid, now.uid);
    }
    group.ranges = buf_span(&ranges);
    record_groups_add(&groups, &group);
    r.groups = buf_span(&groups);
    g->type = RECORD_FLAGS;
    record_flags_put(&g->meta, &r);
    buf_done(&groups);
    buf_done(&ranges);
    buf_done(&keywords);
}

static void
make_expunged(struct generator *g, struct mailbox_state *m)
{
    struct buf ranges;
    buf_init(&ranges, LIMIT_record_meta);
    struct record_expunged r = {.mailbox = m->id,
                                .modseq = ++g->modseq,
                                .when_s = (int64_t)g->modseq,
                                .counts = m->counts};
    r.counts.modseq = g->modseq;
    for (uint32_t i = 0; i < m->counts.exists; i++) {
        if (generator_random(g, 5) != 0)
            continue;
        uint32_t end = i + (uint32_t)generator_random(g, 3);
        end = end < m->counts.exists ? end : m->counts.exists - 1;
        record_ranges_add(&ranges, m->rows[i].uid, m->rows[end].uid);
        for (; i <= end; i++)
            count(&r.counts, &m->rows[i], -1);
        i = end;
    }
    r.uids = buf_span(&ranges);
    g->type = r.when_s % 2 ? RECORD_MOVED : RECORD_EXPUNGED;
    record_expunged_put(&g->meta, &r);
    buf_done(&ranges);
}

// ---- the rest ----

static void
make_keyword(struct generator *g, struct mailbox_state *m)
{
    char name[16];
    int n = snprintf(name, sizeof name, "$k%u", m->keyword_count);
    g->type = RECORD_KEYWORD;
    record_keyword_put(&g->meta, &(struct record_keyword){m->id, m->keyword_count,
                                                          span_of(name, (size_t)n)});
}

static void
make_meta(struct generator *g, struct mailbox_state *m)
{
    char key[16];
    int n =
        snprintf(key, sizeof key, "/key%llu", (unsigned long long)generator_random(g, 5));
    struct record_meta r = {.mailbox = generator_random(g, 2) ? m->id : 0,
                            .modseq = ++g->modseq,
                            .key = span_of(key, (size_t)n),
                            .value = generator_random(g, 3) ? SPAN("value") : SPAN_NONE};
    static const char script[20000] = {1};  // more than a page of the index
    if (generator_random(g, 8) == 0) {
        r.mailbox = 0;
        r.key = SPAN("sieve/name");
        r.value = span_of(script, generator_random(g, sizeof script));
    }
    g->type = RECORD_META;
    record_meta_put(&g->meta, &r);
}

// The owner's flags too, with the count that goes with them.
static void
make_privates(struct generator *g, struct mailbox_state *m)
{
    struct record_privates p = {.mailbox = m->id,
                                .user = 1 + generator_random(g, 3),
                                .modseq = ++g->modseq,
                                .mask = FLAG_SEEN,
                                .unseen = m->counts.unseen};
    uint16_t flags = generator_random(g, 2) ? FLAG_SEEN : 0;
    struct buf groups, ranges;
    buf_init(&groups, LIMIT_record_meta);
    buf_init(&ranges, LIMIT_record_meta);
    if (generator_random(g, 3) == 0)
        p.user = g->state->account;
    p.own = p.user == g->state->account;
    for (uint32_t i = 0; m->loaded && i < m->counts.exists; i++) {
        if (generator_random(g, 2))
            continue;
        uint16_t was = m->rows[i].flags;
        record_ranges_add(&ranges, m->rows[i].uid, m->rows[i].uid);
        p.unseen += (uint32_t) !(flags & FLAG_SEEN) - (uint32_t) !(was & FLAG_SEEN);
    }
    if (ranges.n > 0)
        record_groups_add(&groups,
                          &(struct record_group){flags, SPAN_NONE, buf_span(&ranges)});
    p.groups = buf_span(&groups);
    g->type = RECORD_PRIVATES;
    record_privates_put(&g->meta, &p);
    buf_done(&groups);
    buf_done(&ranges);
}

static void
make_small(struct generator *g, struct mailbox_state *m)
{
    char name[16];
    int n =
        snprintf(name, sizeof name, "sub%llu", (unsigned long long)generator_random(g, 6));
    struct record_subscribe s = {span_of(name, (size_t)n), generator_random(g, 2) == 0};
    struct record_private p = {.mailbox = m->id,
                               .user = 1 + generator_random(g, 2),
                               .modseq = ++g->modseq,
                               .uid = 1 + (uint32_t)generator_random(g, m->counts.uidnext),
                               .flags = FLAG_SEEN};
    switch (generator_random(g, 8)) {
    case 0:
        g->type = RECORD_RECENT;
        record_recent_put(&g->meta, &(struct record_recent){m->id, m->counts.uidnext});
        break;
    case 1:
        g->type = RECORD_FORGOTTEN;
        record_forgotten_put(
            &g->meta, &(struct record_forgotten){m->id, generator_random(g, g->modseq)});
        break;
    case 2:
        g->type = RECORD_PRIVATE;
        record_private_put(&g->meta, &p);
        break;
    case 3:
        make_meta(g, m);
        break;
    case 4:
        g->type = RECORD_PRIVATES_GONE;
        record_privates_gone_put(
            &g->meta, &(struct record_privates_gone){m->id, 1 + generator_random(g, 2)});
        break;
    case 5:
    case 6:
        make_privates(g, m);
        break;
    default:
        g->type = RECORD_SUBSCRIBE;
        record_subscribe_put(&g->meta, &s);
        break;
    }
}

void
generator_next(struct generator *g)
{
    buf_reset(&g->meta);
    struct mailbox_state *m = any_mailbox(g);
    uint64_t dice = generator_random(g, 100);
    if (!g->state->inside->exists) {
        g->type = RECORD_ACCOUNT;
        record_account_put(&g->meta,
                           &(struct record_account){SPAN("anna"), 1700000000, ++g->modseq});
    } else if (!m || (dice < 4 && g->state->mailbox_count < g->mailboxes_max)) {
        make_mailbox(g);
    } else if (dice < 5 && g->state->mailbox_count > 2) {
        g->type = RECORD_MAILBOX_GONE;
        record_mailbox_gone_put(&g->meta,
                                &(struct record_mailbox_gone){m->id, ++g->modseq, 5});
    } else if (dice < 60) {
        make_added(g, m);
    } else if (dice < 64) {
        make_copied(g, any_mailbox(g), m);
    } else if (dice < 76) {
        make_flags(g, m);
    } else if (dice < 82) {
        make_expunged(g, m);
    } else if (dice < 85 && m->keyword_count < 40) {
        make_keyword(g, m);
    } else {
        make_small(g, m);
    }
}

// ---- text of a state ----

static int
compare_ids(const void *a, const void *b)
{
    const struct mailbox_state *const *x = a, *const *y = b;
    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

static int
compare_values(struct value_entry *a, struct value_entry *b)
{
    return span_cmp(a->key, b->key);
}

static void
dump_rows(const struct mailbox_state *m, struct buf *out)
{
    for (uint32_t i = 0; i < m->counts.exists; i++) {
        const struct message_row *r = &m->rows[i];
        buf_printf(out, "  %u %u %x %d %lld %lld %u %u %llu %llu %llu [", r->uid, r->size,
                   r->flags, r->zone_min, (long long)r->modseq, (long long)r->internal_date,
                   r->save_date, r->sent, (unsigned long long)r->emailid,
                   (unsigned long long)r->threadid, (unsigned long long)r->blob);
        size_t n;
        const uint32_t *numbers = keyword_sets_get(m->sets, r->keywords, &n);
        for (size_t k = 0; k < n; k++)
            buf_printf(out, " %u", numbers[k]);
        buf_put_str(out, " ]\n");
    }
}

static void
dump_mailbox(const struct mailbox_state *m, bool tables, struct buf *out)
{
    const struct mailbox_counts *c = &m->counts;
    buf_printf(out, "mailbox %llu %llu %.*s %u %u %u %u %llu %llu: %u %u %u %u %llu %llu\n",
               (unsigned long long)m->id, (unsigned long long)m->parent, SPAN_ARG(m->name),
               m->uidvalidity, m->special_use, m->flags, m->recent_mark,
               (unsigned long long)m->created_modseq, (unsigned long long)m->horizon,
               c->uidnext, c->exists, c->unseen, c->deleted, (unsigned long long)c->size,
               (unsigned long long)c->modseq);
    for (uint32_t i = 0; i < m->keyword_count; i++)
        buf_printf(out, " keyword %u %.*s\n", i, SPAN_ARG(m->keywords[i]));
    if (tables)
        dump_rows(m, out);
}

void
generator_dump(struct state *s, bool tables, struct buf *out)
{
    buf_printf(out, "account %llu %.*s modseq %llu\n", (unsigned long long)s->account,
               SPAN_ARG(s->user), (unsigned long long)s->modseq);
    struct mailbox_state **sorted =
        calloc(s->mailbox_count + 1, sizeof(struct mailbox_state *));
    must(sorted != NULL);
    if (s->mailbox_count > 0)
        memcpy(sorted, s->mailboxes, s->mailbox_count * sizeof *sorted);
    qsort(sorted, s->mailbox_count, sizeof *sorted, compare_ids);
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        dump_mailbox(sorted[i], tables, out);
    free(sorted);
    HASH_SORT(s->inside->values, compare_values);
    for (struct value_entry *v = s->inside->values; v; v = v->hh.next) {
        buf_printf(out, "value %d ", (unsigned char)v->key.p[7]);
        buf_put(out, span_skip(v->key, 8));
        buf_put_str(out, " = ");
        buf_put(out, v->value);
        buf_put_char(out, '\n');
    }
    for (uint32_t i = 0; i < s->subscription_count; i++)
        buf_printf(out, "subscribed %.*s\n", SPAN_ARG(s->subscriptions[i].name));
}
