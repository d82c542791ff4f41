#include "mail/folders.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/name.h"
#include "mail/system.h"
#include "mail/tree_record.h"

// One row per special use: attribute, names by language, and what other servers and clients call it.
struct use_row {
    enum special_use use;
    const char *attribute;
    const char *en, *de;
    const char *others[12];
};

static const struct use_row uses[] = {
    {USE_DRAFTS,
     "\\Drafts",
     "Drafts",
     "Entwürfe",
     {"Draft", "Entwurf", "Brouillons", "[Gmail]/Drafts", "[Google Mail]/Drafts"}},
    {USE_SENT,
     "\\Sent",
     "Sent",
     "Gesendet",
     {"Sent Items", "Sent Messages", "Sent Mail", "Gesendete Elemente", "Gesendete Objekte",
      "Gesendete Nachrichten", "Envoyés", "[Gmail]/Sent Mail", "[Google Mail]/Sent Mail",
      "[Gmail]/Gesendet"}},
    {USE_JUNK,
     "\\Junk",
     "Junk",
     "Spam",
     {"Junk E-mail", "Junk Email", "Junk-E-Mail", "Bulk Mail", "Unerwünscht",
      "[Gmail]/Spam", "[Google Mail]/Spam"}},
    {USE_TRASH,
     "\\Trash",
     "Trash",
     "Papierkorb",
     {"Deleted Items", "Deleted Messages", "Deleted", "Gelöschte Elemente",
      "Gelöschte Objekte", "Corbeille", "[Gmail]/Trash", "[Gmail]/Bin",
      "[Google Mail]/Trash", "[Gmail]/Papierkorb"}},
    {USE_ARCHIVE,
     "\\Archive",
     "Archive",
     "Archiv",
     {"Archives", "[Gmail]/All Mail", "[Google Mail]/All Mail",
      "[Gmail]/Alle Nachrichten"}},
    {USE_ALL, "\\All", "", "", {NULL}},
    {USE_FLAGGED, "\\Flagged", "", "", {NULL}},
    {USE_IMPORTANT, "\\Important", "", "", {NULL}},
    {USE_MEMOS, "\\Memos", "", "", {NULL}},
    {USE_SCHEDULED, "\\Scheduled", "", "", {NULL}},
    {USE_SNOOZED, "\\Snoozed", "", "", {NULL}},
};
enum { USE_ROWS = sizeof uses / sizeof uses[0], STANDARD_FOLDERS = 5 };

static const struct use_row *
row_of(enum special_use use)
{
    for (size_t i = 0; i < USE_ROWS; i++)
        if (uses[i].use == use)
            return &uses[i];
    return NULL;
}

const char *
special_use_text(enum special_use use)
{
    const struct use_row *row = row_of(use);
    return row ? row->attribute : "";
}

enum special_use
special_use_from(struct span attribute)
{
    for (size_t i = 0; i < USE_ROWS; i++)
        if (span_ieq(attribute, span_str(uses[i].attribute)))
            return uses[i].use;
    return USE_NONE;
}

bool
special_use_offered(enum special_use use)
{
    return use != USE_ALL && use != USE_FLAGGED;
}

struct span
tree_folder_name(struct span language, enum special_use use)
{
    const struct use_row *row = row_of(use);
    if (!row)
        return SPAN_NONE;
    return span_str(span_ieq(language, SPAN("de")) ? row->de : row->en);
}

static bool
row_means(const struct use_row *row, struct span name)
{
    if (span_ieq(name, span_str(row->en)) || span_ieq(name, span_str(row->de)))
        return row->en[0] != '\0';
    for (size_t i = 0; i < 12 && row->others[i]; i++)
        if (span_ieq(name, span_str(row->others[i])))
            return true;
    return false;
}

enum special_use
tree_guess_use(struct span name)
{
    if (span_istarts(name, SPAN("INBOX.")) || span_istarts(name, SPAN("INBOX/")))
        name = span_skip(name, 6);
    for (size_t i = 0; i < USE_ROWS; i++)
        if (row_means(&uses[i], name))
            return uses[i].use;
    return USE_NONE;
}

static void
put_folder(struct account *a, struct store_batch *b, struct span name, enum special_use use)
{
    struct record_mailbox r = {.id = store_id_next(mail_store(a->mail)),
                               .modseq = change_modseq(a),
                               .name = name,
                               .uidvalidity = tree_uidvalidity(a, b),
                               .special_use = (uint8_t)use};
    tree_put_mailbox(b, &r);
    tree_put_subscribe(b, name, true);
}

static enum result
create(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct span *language = arg;
    (void)f;
    struct record_account r = {a->user, clock_wall_s(), change_modseq(a)};
    tree_put_account(b, &r);
    if (account_is_system(a->id))
        return R_OK;
    put_folder(a, b, SPAN("INBOX"), USE_NONE);
    for (size_t i = 0; i < STANDARD_FOLDERS; i++)
        put_folder(a, b, tree_folder_name(*language, uses[i].use), uses[i].use);
    return R_OK;
}

enum result
folders_create(struct account *a, struct span language, struct fault *f)
{
    return account_change(a, create, &language, CHANGE_ALONE, NULL, f);
}
