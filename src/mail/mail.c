#include "mail/folders.h"
#include "mail/mail_inside.h"
#include "mail/sent.h"

#include "base/clock.h"
#include <utlist.h>

// What was set for all accounts, and the forms of ids.

void
mail_settings(struct mail *m, const char *folder_language, uint64_t message_size_max)
{
    m->folder_language = folder_language;
    m->message_size_max = message_size_max;
}

void
mail_entries_set(struct mail *m, const struct mail_entries *e)
{
    struct mail_entries *own = ARENA_NEW(m->entries_arena, struct mail_entries);
    if (e)
        *own = *e;
    m->entries = own;
}

const struct mail_entries *
mail_entries(const struct mail *m)
{
    return m->entries;
}

void
mail_sent_set(struct mail *m, bool on)
{
    m->sent_copy = on;
}

bool
mail_sent(const struct mail *m)
{
    return m->sent_copy;
}

void
mail_marks_set(struct mail *m, unsigned marks)
{
    m->marks = marks;
}

unsigned
mail_marks(const struct mail *m)
{
    return m->marks;
}

void
mail_private_flags_set(struct mail *m, uint16_t flags)
{
    m->private_flags = flags;
}

uint16_t
mail_private_flags(const struct mail *m)
{
    return (uint16_t)m->private_flags;
}

void
mail_index_set(struct mail *m, enum mail_index_mode mode, unsigned test_after)
{
    m->index_after = test_after;
    m->index_mode = mode;
}

enum mail_index_mode
mail_index_mode(const struct mail *m)
{
    return (enum mail_index_mode)m->index_mode;
}

void
mail_index_stop(struct mail *m)
{
    m->index_stopped = true;
}

void
mail_index_report(struct mail *m, mail_index_report_fn *fn)
{
    m->index_report = fn;
}

bool
mail_index_is_on(const struct mail *m)
{
    return mail_index_mode(m) >= MAIL_INDEX_ASKED && !m->index_stopped;
}

unsigned
mail_index_after(const struct mail *m)
{
    return m->index_after;
}

void
mail_index_tell(struct account *a, const char *event, const struct fault *f)
{
    if (a->mail->index_report)
        a->mail->index_report(a, event, f);
}

bool
mail_index_begin(struct account *a)
{
    bool free = !a->home->indexing;
    a->home->indexing = true;
    return free;
}

void
mail_index_queue(struct mail_index *x)
{
    if (!x->queued)
        DL_APPEND(x->account->home->queued, x);
    x->queued = true;
}

void
mail_index_pass(struct account *a)
{
    struct mail_index *next = a->home->queued;
    if (!next || a->home->indexing)
        return;
    mail_index_unqueue(next);
    timer_set(&next->timer, 1);
}

void
mail_index_unqueue(struct mail_index *x)
{
    if (x->queued)
        DL_DELETE(x->account->home->queued, x);
    x->queued = false;
}

void
mail_index_end(struct account *a)
{
    a->home->builder.used_ms = clock_mono_ms();
    a->home->indexing = false;
    mail_index_pass(a);
}

struct index_builder *
mail_index_builder(struct account *a)
{
    return &a->home->builder;
}

struct quotas *
mail_quotas(const struct mail *m)
{
    return m->quotas;
}

const char *
mail_folder_language(const struct mail *m)
{
    return m->folder_language;
}

struct store *
mail_store(struct mail *m)
{
    return m->options.store;
}

uint64_t
mail_size_max(const struct mail *m)
{
    return m->message_size_max;
}

const struct mail_options *
mail_options_get(const struct mail *m)
{
    return &m->options;
}

void
mail_id_text(char prefix, uint64_t id, char out[MAIL_ID_TEXT])
{
    snprintf(out, MAIL_ID_TEXT, "%c%llx", prefix, (unsigned long long)id);
}

uint64_t
mail_id_from(char prefix, struct span text)
{
    uint64_t id = 0;
    if (text.n < 2 || text.n > 17 || text.p[0] != prefix || text.p[1] == '0')
        return 0;
    for (size_t i = 1; i < text.n; i++) {
        char c = text.p[i];
        if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
            return 0;
        id = id << 4 | (uint64_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    return id;
}
