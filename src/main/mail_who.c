#include "main/mail_role.h"
#include "base/arena.h"
#include "io/task.h"
#include "main/rawlog.h"
#include <time.h>
#include <utlist.h>

// Sessions come and go while they are listed, and there may be very many: each home notes once who is there, in order, and
// tells them by pages of rows. One that ends meanwhile is struck out, one that comes is not in it; nothing is searched for again.

enum { PAGE = 256 };

// The order: by user, then by age.
struct place {
    uint64_t head;  // the name's first octets
    const char *user;
    int64_t since_ms;
    uint64_t id;
};

struct entry {
    struct place place;
    const struct session *session;  // NULL: it has ended
};

// What one `who` has of one home.
struct listing {
    struct listing *prev, *next;
    struct home *home;
    struct span user;  // whose; "": all
    struct arena *names;
    struct entry *entries;
    size_t n, next_entry;
    struct {
        struct place place[PAGE];
        size_t end[PAGE];  // of its row
        size_t n, at;
    } page;
    struct buf rows;
};

static struct place
place_of(const struct session *s)
{
    struct place p = {0, s->user, s->since_ms, s->id};
    const char *c = s->user;
    for (size_t i = 0; i < sizeof p.head; i++)
        p.head = p.head << 8 | (*c == '\0' ? 0 : (unsigned char)*c++);
    return p;
}

static int
compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int
place_cmp(const void *va, const void *vb)
{
    const struct place *a = va, *b = vb;
    int order = compare(a->head, b->head);
    if (order == 0)
        order = strcmp(a->user, b->user);
    if (order == 0)
        order = (a->since_ms > b->since_ms) - (a->since_ms < b->since_ms);
    return order != 0 ? order : compare(a->id, b->id);
}

static void
put_row(const struct session *s, struct buf *rows)
{
    char stamp[32];
    struct tm tm;
    time_t since = (time_t)(s->since_ms / 1000);
    struct served_facts facts = {.client = SPAN(""), .mailbox = SPAN("")};
    if (s->served.of != NULL)
        s->served.ops->facts(s->served.of, &facts);
    localtime_r(&since, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    bool tls = s->tls != TLS_NONE;
    field_put_row(
        rows, SPAN("session"), SPAN_NONE,
        FIELDS(
            field_str("user", "%", s->user), field_str("service", "\t%", s->service),
            field_str("rip", "\t%", s->remote), field_str("lip", "", s->local),
            field_if(s->master[0] != '\0', field_str("master", "\tmaster=%", s->master)),
            field_if(s->device[0] != '\0', field_str("device", "\tdevice=<%>", s->device)),
            field_flag("read_only", "\tread_only", s->read_only),
            field_flag("tls", "\tTLS", tls), field_str(NULL, tls ? "" : "\tplain", ""),
            field_str("since", "\tsince %", stamp),
            field_number("silent", "\tsilent %s", facts.silent_ms / 1000),
            field_flag("idling", " (IDLE)", facts.idling),
            field_number("in", "\tin=%", facts.octets_in),
            field_number("out", " out=%", facts.octets_out),
            field_if(facts.mailbox.n > 0,
                     field_text("mailbox", "\tmailbox=<%>", facts.mailbox)),
            field_if(facts.client.n > 0,
                     field_text("client", "\tclient=<%>", facts.client)),
            field_flag("rawlog", "\trawlog",
                       s->rawlog.file != NULL && rawlog_goes_on(s->rawlog.file)),
            field_id("session", "\tsession=<%>", s->id)));
}

static void
page_fill(void *arg)
{
    struct listing *l = arg;
    l->page.n = l->page.at = 0;
    buf_reset(&l->rows);
    while (l->page.n < PAGE && l->next_entry < l->n) {
        const struct entry *e = &l->entries[l->next_entry++];
        if (e->session == NULL)
            continue;
        put_row(e->session, &l->rows);
        l->page.place[l->page.n] = e->place;
        l->page.end[l->page.n++] = l->rows.n;
    }
}

// In the home. Nothing suspends, so that the sessions stay.
static void
listing_begin(void *arg)
{
    struct listing *l = arg;
    struct home *h = l->home;
    l->entries = calloc(h->session_count + 1, sizeof *l->entries);
    must(l->entries != NULL);
    for (const struct session *s = h->sessions; s != NULL; s = s->next) {
        if (l->user.n > 0 && !span_ieq(l->user, span_str(s->user)))
            continue;
        struct entry *e = &l->entries[l->n++];
        *e = (struct entry){place_of(s), s};
        e->place.user = arena_cstr(l->names, span_str(s->user));
    }
    qsort(l->entries, l->n, sizeof *l->entries,
          place_cmp);  // an entry begins with its place
    DL_APPEND(h->who.listings, l);
    page_fill(l);
}

void
mail_who_forget(struct home *h, const struct session *s)
{
    struct listing *l;
    const struct place place = place_of(s);
    DL_FOREACH(h->who.listings, l)
    {
        struct entry *e = bsearch(&place, l->entries, l->n, sizeof *e, place_cmp);
        if (e != NULL && e->session == s)
            e->session = NULL;
    }
}

static void
listing_end(void *arg)
{
    struct listing *l = arg;
    DL_DELETE(l->home->who.listings, l);
}

static void
listing_free(struct listing *l)
{
    task_run_on(l->home->loop, listing_end, l);
    buf_done(&l->rows);
    arena_free(&l->names);
    free(l->entries);
    free(l);
}

static struct listing *
listing_new(struct home *h, struct span user)
{
    struct listing *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->home = h;
    l->user = user;
    l->names = arena_new();
    buf_init(&l->rows, SIZE_MAX);
    task_run_on(h->loop, listing_begin, l);
    return l;
}

static struct listing *
first_of(struct listing *const *all, unsigned n)
{
    struct listing *first = NULL;
    for (unsigned i = 0; i < n; i++) {
        struct listing *l = all[i];
        if (l->page.at < l->page.n &&
            (first == NULL ||
             place_cmp(&l->page.place[l->page.at], &first->page.place[first->page.at]) < 0))
            first = l;
    }
    return first;
}

static void
tell(struct listing *l, void (*row)(void *to, struct span row), void *to)
{
    size_t begin = l->page.at > 0 ? l->page.end[l->page.at - 1] : 0;
    row(to, span_slice(buf_span(&l->rows), begin, l->page.end[l->page.at]));
    if (++l->page.at == l->page.n)
        task_run_on(l->home->loop, page_fill, l);
}

void
mail_who(struct mail_role *r, struct span user, void (*row)(void *to, struct span row),
         void *to)
{
    struct listing *l, **all = calloc(r->home_count, sizeof(struct listing *));
    must(all != NULL);
    for (unsigned i = 0; i < r->home_count; i++)
        all[i] = listing_new(&r->homes[i], user);
    while ((l = first_of(all, r->home_count)) != NULL)
        tell(l, row, to);
    for (unsigned i = 0; i < r->home_count; i++)
        listing_free(all[i]);
    free(all);
}
