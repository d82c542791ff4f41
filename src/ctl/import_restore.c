#include "ctl/import.h"
#include "mail/emailids.h"

enum result
import_restore_begin(struct import *im, struct fault *f)
{
    struct import_restore *r = im->restore;
    struct store *s = mail_store(verb_host(im->call)->mail);
    r->known = store_uuid(s, r->store) == R_OK;
    r->id_end = store_id_next(s);
    return emailids_load(mail_user_account(im->user), &r->ids, f);
}

void
import_restore_end(struct import *im)
{
    emailids_free(&im->restore->ids);
}

// ---- ids ----

// An id that this store has not given out yet would be given out again.
static bool
is_ours(const struct import_restore *r, const struct parcel_origin *o)
{
    return r->known && memcmp(o->store, r->store, sizeof r->store) == 0 && o->emailid > 0 &&
           o->emailid < r->id_end && o->threadid > 0 && o->threadid < r->id_end;
}

enum result
import_restore_ids(struct import_message *m, struct fault *f)
{
    struct import_restore *r = m->import->restore;
    const struct parcel_origin *o = &m->origin;
    uint64_t threadid = o->threadid, size = intake_size(m->intake);
    struct span hash = intake_hash(m->intake);
    enum emailid_holder holder = EMAILID_OTHER;
    if (is_ours(r, o))
        holder = emailids_find(r->ids, o->emailid, size, hash, &threadid);
    r->new_ids += holder == EMAILID_OTHER;
    m->params.save_date = o->save_date;
    m->params.emailid = holder == EMAILID_OTHER ? 0 : o->emailid;
    m->params.threadid = holder == EMAILID_OTHER ? 0 : threadid;
    if (holder != EMAILID_FREE)
        return R_OK;
    return emailids_put(r->ids, o->emailid, threadid, size, hash, f);
}

// ---- what the person is told ----

void
import_restore_mailbox_begin(struct import *im)
{
    const struct import_counts *c = &im->counts;
    struct import_restore *r = im->restore;
    r->messages = c->messages;
    r->octets = c->octets;
    r->present = c->present;
    r->left = c->left_out;
    r->others = r->new_ids;
}

static struct field
some(const char *name, const char *style, uint64_t n)
{
    return field_number(name, n > 0 ? style : "", n);
}

void
import_restore_mailbox_end(struct import *im)
{
    const struct import_counts *c = &im->counts;
    const struct import_restore *r = im->restore;
    const char *done = r->dry_run ? " would be restored" : " restored";
    verb_row(im->call, "restored",
             FIELDS(field_text("folder", "%", im->target),
                    field_number("messages", "\t%", c->messages - r->messages),
                    field_number("octets", " (% octets)", c->octets - r->octets),
                    field_str(NULL, done, ""),
                    some("present", "; % there already", c->present - r->present),
                    some("new_emailids", "; % with a new EMAILID", r->new_ids - r->others),
                    some("left_out", "; % left out", c->left_out - r->left)));
}

void
import_restore_report(struct import *im)
{
    const struct import_counts *c = &im->counts;
    bool dry_run = im->restore->dry_run;
    verb_row(im->call, "total",
             FIELDS(field_number("messages", "% messages", c->messages),
                    field_number("octets", " (% octets)", c->octets),
                    field_number("folders", " in % folders", c->mailboxes),
                    field_str(NULL, dry_run ? " would be restored" : " were restored", ""),
                    field_number("present", "; % were there already", c->present),
                    field_number("left_out", ", % left out", c->left_out),
                    some("facts", IMPORT_FACTS_STYLE, c->facts),
                    field_flag("dry_run", "", dry_run)));
}
