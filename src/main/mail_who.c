#include "main/mail_role.h"
#include "base/limits.h"
#include "io/task.h"
#include <time.h>

// Sessions come and go while they are listed, and there may be very many: each home tells them by pages, the next ones in
// order behind the last one told, so that nobody keeps them all. A page is looked for among all sessions of the home.

enum { PAGE = 256 };

// The order: by user, then by age.
struct place {
    char user[LIMIT_user_name + 1];
    int64_t since_ms;
    uint64_t id;
};

struct page {
    struct home *home;
    struct span user;  // whose; "": all
    size_t n, at;
    struct place last;                // all up to there were told
    const struct session *got[PAGE];  // while the page is made
    struct entry {
        struct place place;
        size_t end;  // of its row
    } entries[PAGE];
    struct buf rows;
};

static int
place_cmp(const char *user, int64_t since_ms, uint64_t id, const struct place *b)
{
    int order = strcmp(user, b->user);
    if (order == 0)
        order = since_ms < b->since_ms ? -1 : since_ms > b->since_ms;
    return order != 0 ? order : id < b->id ? -1 : id > b->id;
}

static int
session_cmp(const struct session *a, const struct session *b)
{
    int order = strcmp(a->user, b->user);
    if (order == 0)
        order = a->since_ms < b->since_ms ? -1 : a->since_ms > b->since_ms;
    return order != 0 ? order : a->id < b->id ? -1 : a->id > b->id;
}

// Among the first ones, if it is one.
static void
page_offer(struct page *p, const struct session *s)
{
    size_t at = p->n;
    if (p->n == PAGE && session_cmp(s, p->got[PAGE - 1]) > 0)
        return;
    while (at > 0 && session_cmp(s, p->got[at - 1]) < 0)
        at--;
    size_t behind = (p->n < PAGE ? p->n : PAGE - 1) - at;
    memmove(&p->got[at + 1], &p->got[at], behind * sizeof p->got[0]);
    p->got[at] = s;
    p->n += p->n < PAGE;
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
            field_flag("rawlog", "\trawlog", s->rawlog.file != NULL),
            field_id("session", "\tsession=<%>", s->id)));
}

static void
page_write(struct page *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct entry *e = &p->entries[i];
        snprintf(e->place.user, sizeof e->place.user, "%s", p->got[i]->user);
        e->place.since_ms = p->got[i]->since_ms;
        e->place.id = p->got[i]->id;
        put_row(p->got[i], &p->rows);
        e->end = p->rows.n;
    }
    if (p->n > 0)
        p->last = p->entries[p->n - 1].place;
}

// In the home. Nothing suspends, so that the sessions stay.
static void
page_fill(void *arg)
{
    struct page *p = arg;
    p->n = p->at = 0;
    buf_reset(&p->rows);
    for (const struct session *s = p->home->sessions; s != NULL; s = s->next)
        if ((p->user.n == 0 || span_ieq(p->user, span_str(s->user))) &&
            place_cmp(s->user, s->since_ms, s->id, &p->last) > 0)
            page_offer(p, s);
    page_write(p);
}

static struct page *
page_first(struct page *const *pages, unsigned n)
{
    struct page *first = NULL;
    for (unsigned i = 0; i < n; i++) {
        struct page *p = pages[i];
        if (p->at == p->n)
            continue;
        const struct place *own = &p->entries[p->at].place;
        if (first == NULL || place_cmp(own->user, own->since_ms, own->id,
                                       &first->entries[first->at].place) < 0)
            first = p;
    }
    return first;
}

static void
tell(struct page *p, void (*row)(void *to, struct span row), void *to)
{
    size_t begin = p->at > 0 ? p->entries[p->at - 1].end : 0;
    row(to, span_slice(buf_span(&p->rows), begin, p->entries[p->at].end));
    if (++p->at == PAGE)
        task_run_on(p->home->loop, page_fill, p);
}

void
mail_who(struct mail_role *r, struct span user, void (*row)(void *to, struct span row),
         void *to)
{
    struct page *p, **pages = calloc(r->home_count, sizeof(struct page *));
    must(pages != NULL);
    for (unsigned i = 0; i < r->home_count; i++) {
        p = pages[i] = calloc(1, sizeof *p);
        must(p != NULL);
        p->home = &r->homes[i];
        p->user = user;
        p->last.since_ms = INT64_MIN;
        buf_init(&p->rows, SIZE_MAX);
        task_run_on(p->home->loop, page_fill, p);
    }
    while ((p = page_first(pages, r->home_count)) != NULL)
        tell(p, row, to);
    for (unsigned i = 0; i < r->home_count; i++) {
        buf_done(&pages[i]->rows);
        free(pages[i]);
    }
    free(pages);
}
