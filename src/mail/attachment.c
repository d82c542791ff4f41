#include "mail/attachment.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "base/table.h"
#include "io/loop.h"
#include "io/task.h"
#include "mail/attachment_cache.h"
#include "mail/attachment_inside.h"
#include "mail/folders.h"
#include "mail/message.h"
#include "mime/charset.h"
#include "mime/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 32768, FLUSH_MS = 1000, REST_MS = 30000, SECTION_MOST = 24 };

// On the stack of the task that waits.
struct waiter {
    struct waiter *next;
    struct task *task;
    bool served;
};

// Whoever waits is served in the order of coming.
struct turnstile {
    struct waiter *first, **end;
    unsigned inside;
};

// The attachments of one account: one task at a time.
struct files {
    UT_hash_handle hh;
    uint64_t account;
    struct attachments *home;
    struct turnstile door;
    struct attachment_cache *cache;  // NULL: not opened yet
    struct timer rest;
    unsigned users;
    bool gone;  // the account is: nothing is written any more
};

// Those of a home.
struct attachments {
    struct mail *mail;
    unsigned index;
    struct attachment_reader reader;
    struct files *all;
    struct turnstile jobs;
};

// ---- turns ----

static void
enter(struct turnstile *t, unsigned most)
{
    if (t->inside < most) {
        t->inside++;
        return;
    }
    struct waiter me = {.task = task_self()};
    if (!t->first)
        t->end = &t->first;
    *t->end = &me;
    t->end = &me.next;
    while (!me.served)
        task_suspend();
}

static void
leave(struct turnstile *t)
{
    struct waiter *w = t->first;
    if (!w) {
        t->inside--;
        return;
    }
    t->first = w->next;
    w->served = true;  // it takes this place
    task_wake(w->task);
}

// ---- an account's ----

static void on_rest(void *arg);

static struct files *
files_take(struct attachments *h, uint64_t account)
{
    struct files *f;
    HASH_FIND(hh, h->all, &account, sizeof account, f);
    if (!f) {
        f = calloc(1, sizeof *f);
        must(f != NULL);
        f->account = account;
        f->home = h;
        timer_init(&f->rest, on_rest, f);
        HASH_ADD(hh, h->all, account, sizeof f->account, f);
    }
    f->users++;
    timer_clear(&f->rest);
    enter(&f->door, 1);
    if (!f->cache)
        f->cache = attachment_cache_open(mail_store(h->mail), account);
    return f;
}

static void
files_free(struct files *f)
{
    HASH_DEL(f->home->all, f);
    timer_clear(&f->rest);
    attachment_cache_free(&f->cache);
    free(f);
}

static void
files_give(struct files *f, uint32_t rest_ms)
{
    leave(&f->door);
    if (--f->users == 0)
        timer_set(&f->rest, rest_ms);
}

static void
rest(void *arg)
{
    struct files *f = arg;
    enter(&f->door, 1);
    if (attachment_cache_waits(f->cache) && !f->gone) {
        attachment_cache_flush(f->cache);
        files_give(f, REST_MS);
    } else if (f->users == 1) {
        files_free(f);
    } else {
        files_give(f, REST_MS);
    }
}

static void
on_rest(void *arg)
{
    struct files *f = arg;
    f->users++;  // before it runs: no other timer is set meanwhile
    task_start_for(f->account, rest, f);
}

// ---- one document ----

// Reads, decodes and writes a part piece by piece.
struct copy {
    struct mail *mail;
    const struct attachment_place *place;
    struct mime_decoder decoder;
    struct buf octets;
    uint64_t written;
    int fd;
};

static enum extract_verdict
drain(struct copy *c)
{
    c->written += c->octets.n;
    if (c->octets.over || c->written > LIMIT_extract_part)
        return EXTRACT_TOO_LARGE;
    struct fault ignored;
    bool done =
        memory_file_put(c->fd, buf_span(&c->octets), "a document", &ignored) == R_OK;
    buf_reset(&c->octets);
    return done ? EXTRACT_DONE : EXTRACT_UNAVAILABLE;
}

static enum result
copy_pieces(struct copy *c, enum extract_verdict *v_out, struct fault *f)
{
    const struct mime_range *body = &c->place->part->body;
    char *piece = calloc(1, PIECE);
    enum result r = R_OK;
    must(piece != NULL);
    *v_out = EXTRACT_DONE;
    for (uint64_t at = 0; r == R_OK && *v_out == EXTRACT_DONE && at < body->size;) {
        size_t n = body->size - at < PIECE ? (size_t)(body->size - at) : PIECE;
        r = message_read(c->mail, c->place->row, body->at + at, n, piece, f);
        if (r == R_OK)
            r = mime_decoder_feed(&c->decoder, span_of(piece, n), &c->octets, f);
        if (r == R_OK)
            *v_out = drain(c);
        at += n;
        task_yield();
    }
    free(piece);
    if (r == R_OK && *v_out == EXTRACT_DONE) {
        r = mime_decoder_end(&c->decoder, &c->octets, f);
        *v_out = r == R_OK ? drain(c) : *v_out;
    }
    return r;
}

// The document's memfd cannot change under who reads it.
static enum result
copy_document(struct mail *m, const struct attachment_place *place, int fd,
              enum extract_verdict *v_out, struct fault *f)
{
    struct copy c = {.mail = m,
                     .place = place,
                     .decoder = mime_decoder_of(place->part->encoding, true),
                     .fd = fd};
    buf_init(&c.octets, PIECE * 4);
    enum result r = copy_pieces(&c, v_out, f);
    buf_done(&c.octets);
    if (r == R_OK && *v_out == EXTRACT_DONE &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) != 0)
        *v_out = EXTRACT_UNAVAILABLE;
    return r;
}

// Whoever writes the text can write so much and no more.
static int
make_room(void)
{
    int fd = memfd_create("posthorn-text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (ftruncate(fd, LIMIT_extract_text) != 0 ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool
read_text(int fd, uint64_t octets, struct buf *text)
{
    size_t n = octets < LIMIT_extract_text ? (size_t)octets : LIMIT_extract_text;
    char *room = buf_reserve(text, n);
    if (n == 0 || !room)
        return n == 0;
    for (size_t at = 0; at < n;) {
        ssize_t got = pread(fd, room + at, n - at, (off_t)at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    text->n += n;
    return true;
}

// What a child wrote may be anything.
static void
clean_text(struct buf *text)
{
    struct buf clean;
    if (mime_utf8_valid(buf_span(text)))
        return;
    buf_init(&clean, text->n * 3 + 3);
    mime_utf8_clean(&clean, buf_span(text));
    size_t n = clean.n < LIMIT_extract_text ? clean.n : LIMIT_extract_text;
    while (n < clean.n && n > 0 && ((unsigned char)clean.p[n] & 0xC0) == 0x80)
        n--;
    buf_reset(text);
    buf_put(text, span_of(clean.p, n));
    buf_done(&clean);
}

static enum extract_verdict
ask(struct attachments *h, const struct attachment_place *place, int document,
    struct buf *text)
{
    const struct mime_index_part *p = place->part;
    uint64_t octets = 0;
    int room = make_room();
    if (room < 0)
        return EXTRACT_UNAVAILABLE;
    enum extract_verdict v = h->reader.read(h->reader.arg, h->index,
                                            extract_kind_of(p->type, p->subtype, p->name),
                                            document, room, &octets);
    if (!read_text(room, octets, text))
        v = EXTRACT_UNAVAILABLE;
    clean_text(text);
    close(room);
    return v;
}

static enum result
read_document(struct attachments *h, const struct attachment_place *place, struct buf *text,
              enum extract_verdict *v_out, struct fault *f)
{
    // base64 makes four octets of three, and line ends
    if (place->part->body.size / 2 > LIMIT_extract_part) {
        *v_out = EXTRACT_TOO_LARGE;
        return R_OK;
    }
    int fd = memfd_create("posthorn-document", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        *v_out = EXTRACT_UNAVAILABLE;
        return R_OK;
    }
    enum result r = copy_document(h->mail, place, fd, v_out, f);
    if (r == R_OK && *v_out == EXTRACT_DONE)
        *v_out = ask(h, place, fd, text);
    close(fd);
    return r;
}

// The two memfds are in the ledger; where it is full the document is read another time.
static enum result
read_in_budget(struct attachments *h, const struct attachment_place *place,
               struct buf *text, enum extract_verdict *v_out, struct fault *f)
{
    uint64_t document = place->part->body.size;
    if (document > LIMIT_extract_part)
        document = LIMIT_extract_part;
    size_t octets = (size_t)document + LIMIT_extract_text;
    struct fault full;
    if (budget_take(BUDGET_INTAKE, octets, &full) != R_OK) {
        *v_out = EXTRACT_UNAVAILABLE;
        return R_OK;
    }
    enum result r = read_document(h, place, text, v_out, f);
    budget_give(BUDGET_INTAKE, octets);
    return r;
}

// ---- what is remembered ----

// The number by which FETCH reaches the part (RFC 9051 section 6.4.5).
static struct span
section_of(const struct attachment_place *place, char out[SECTION_MOST])
{
    struct mime_index_iter it;
    struct mime_index_part p;
    struct fault f;
    uint32_t numbers[LIMIT_mime_depth + 2] = {0};
    uint32_t at = 0;
    size_t n = 0;
    if (mime_index_begin(&it, place->index, &f) != R_OK)
        return SPAN_NONE;
    while (mime_index_next(&it, &p, &f) == R_OK && p.depth <= LIMIT_mime_depth) {
        // the root of a message has a number only where it is no multipart
        if (p.root)
            numbers[p.depth] = p.kind == MIME_KIND_MULTIPART ? 0 : 1;
        else
            numbers[p.depth]++;
        numbers[p.depth + 1] = 0;
        if (at++ < place->number)
            continue;
        for (uint32_t d = 0; d <= p.depth; d++)
            if (numbers[d] > 0 && n < SECTION_MOST)
                n += (size_t)snprintf(out + n, SECTION_MOST - n, "%s%u", n ? "." : "",
                                      numbers[d]);
        break;
    }
    return span_of(out, n < SECTION_MOST ? n : SECTION_MOST - 1);
}

static void
tell(const struct files *files, const struct attachment_place *place, struct span section,
     enum extract_verdict v)
{
    char id[MAIL_ID_TEXT];
    mail_id_text('E', place->row->emailid, id);
    log_warning("mail", "the text of an attachment cannot be searched, or not all of it",
                field_number("account", "account=%", files->account),
                field_str("emailid", "emailid=%", id),
                field_text("part", "part=%", section),
                field_str("reason", ": %", extract_verdict_name(v)));
}

static enum result
read_and_remember(struct files *files, const struct attachment_place *place,
                  struct buf *text, enum extract_verdict *v_out, struct fault *f)
{
    char number[SECTION_MOST];
    struct attachments *h = files->home;
    struct attachment_key key = {place->row->emailid, place->number};
    enter(&h->jobs, LIMIT_extract_jobs);
    enum result r = read_in_budget(h, place, text, v_out, f);
    leave(&h->jobs);
    if (r != R_OK)
        return r;
    struct span section = section_of(place, number);
    if (*v_out != EXTRACT_DONE && *v_out != EXTRACT_UNAVAILABLE)
        tell(files, place, section, *v_out);
    if (*v_out != EXTRACT_UNAVAILABLE && !files->gone)
        attachment_cache_put(files->cache, &key, *v_out, section, buf_span(text));
    return R_OK;
}

static bool
can(const struct attachments *h, const struct mime_index_part *p)
{
    return h->reader.can(h->reader.arg, h->index,
                         extract_kind_of(p->type, p->subtype, p->name));
}

static enum result
find_text(struct files *files, const struct attachment_place *place, struct buf *text,
          enum extract_verdict *v_out, struct fault *f)
{
    struct attachment_key key = {place->row->emailid, place->number};
    enum result r = attachment_cache_find(files->cache, &key, v_out, text);
    // the tool may have come since
    if (r == R_OK && (*v_out != EXTRACT_TOOL_MISSING || !can(files->home, place->part)))
        return R_OK;
    buf_reset(text);
    return read_and_remember(files, place, text, v_out, f);
}

void
attachments_gone(struct mail *m, uint64_t account)
{
    struct attachments *h = mail_attachments(m, mail_home_index(m, account));
    struct files *f;
    HASH_FIND(hh, h->all, &account, sizeof account, f);
    if (f)
        f->gone = true;
}

void
attachments_purge(struct mail *m, uint64_t account,
                  bool (*alive)(void *arg, uint64_t emailid), void *arg)
{
    struct files *f = files_take(mail_attachments(m, mail_home_index(m, account)), account);
    if (!f->gone)
        attachment_cache_purge(f->cache, alive, arg);
    files_give(f, FLUSH_MS);
}

// ---- from anywhere ----

struct call {
    struct attachments *home;
    const struct attachment_place *place;
    struct buf *text;
    enum extract_verdict verdict;
    struct fault *fault;
    enum result result;
};

static void
call_run(void *arg)
{
    struct call *c = arg;
    struct files *files = files_take(c->home, c->place->account);
    c->result = find_text(files, c->place, c->text, &c->verdict, c->fault);
    files_give(files, FLUSH_MS);
}

enum result
attachment_text(struct mail *m, const struct attachment_place *place, struct buf *text,
                enum extract_verdict *verdict_out, struct fault *f)
{
    struct call c = {.home = mail_attachments(m, mail_home_index(m, place->account)),
                     .place = place,
                     .text = text,
                     .fault = f,
                     .result = R_FAIL};
    task_run_on(mail_home(m, place->account), call_run, &c);
    *verdict_out = c.verdict;
    return c.result;
}

bool
attachments_on(struct mail *m)
{
    return mail_attachments(m, 0)->reader.read != NULL;
}

bool
attachment_has_text(const struct mime_index_part *part)
{
    return part->kind == MIME_KIND_LEAF &&
           extract_kind_of(part->type, part->subtype, part->name) != EXTRACT_NONE;
}

struct listing {
    struct attachments *home;
    uint64_t account;
    struct arena *arena;
    struct attachment_failed *all;
    size_t n, max;
};

static void
list_one(void *arg, const struct attachment_key *key, enum extract_verdict verdict,
         struct span section)
{
    struct listing *l = arg;
    if (verdict == EXTRACT_DONE || l->n == LIMIT_attachments)
        return;
    if (l->n == l->max) {
        size_t max = l->max * 2 + 64;
        struct attachment_failed *more = arena_array(l->arena, max, sizeof *more);
        if (l->n > 0)
            memcpy(more, l->all, l->n * sizeof *more);
        l->all = more;
        l->max = max;
    }
    l->all[l->n++] =
        (struct attachment_failed){key->emailid, arena_dup(l->arena, section), verdict};
}

static void
list_run(void *arg)
{
    struct listing *l = arg;
    struct files *files = files_take(l->home, l->account);
    attachment_cache_each(files->cache, list_one, l);
    files_give(files, FLUSH_MS);
}

void
attachments_failed(struct mail *m, uint64_t account, struct arena *a,
                   struct attachment_failed **out, size_t *n_out)
{
    struct listing l = {.home = mail_attachments(m, mail_home_index(m, account)),
                        .account = account,
                        .arena = a};
    task_run_on(mail_home(m, account), list_run, &l);
    *out = l.all;
    *n_out = l.n;
}

// ---- of the mail ----

struct attachments *
attachments_new(struct mail *m, unsigned homes)
{
    struct attachments *all = calloc(homes, sizeof *all);
    must(all != NULL);
    for (unsigned i = 0; i < homes; i++)
        all[i] = (struct attachments){.mail = m, .index = i};
    return all;
}

struct attachments *
attachments_of(struct attachments *all, unsigned home)
{
    return &all[home];
}

void
attachments_free(struct attachments **all, unsigned homes)
{
    struct files *f, *next;
    for (unsigned i = 0; i < homes; i++)
        HASH_ITER(hh, (*all)[i].all, f, next)
    files_free(f);
    free(*all);
    *all = NULL;
}

void
attachments_open(struct mail *m, const struct attachment_reader *reader)
{
    for (unsigned i = 0; i < mail_options_get(m)->home_count; i++)
        mail_attachments(m, i)->reader = *reader;
}
