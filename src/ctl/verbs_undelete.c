#include "ctl/account.h"
#include "ctl/verbs.h"
#include "ctl/when.h"
#include "base/clock.h"
#include "mail/retention.h"
#include "mail/undelete.h"

// mailbox undelete: the arguments are USER, TIME, FOLDER and "dry-run", empty where they were not given.

enum { ARG_WHO, ARG_SINCE, ARG_BELOW, ARG_DRY };

struct sums {
    uint64_t folders, messages, octets, left, failed;
};

static struct field
left(const char *name, const char *style, uint64_t n)
{
    return field_number(name, n > 0 ? style : "", n);
}

static void
print_folder(struct verb_call *c, const struct undelete_folder *d, bool dry_run)
{
    bool quiet = d->messages == 0 && !d->made;
    const char *done = dry_run ? " would be brought back" : " brought back";
    verb_row(
        c, "undeleted",
        FIELDS(field_text("folder", "%", d->from),
               field_text("to", span_eq(d->from, d->to) ? "" : " -> %", d->to),
               field_number("messages", "\t%", d->messages),
               field_number("octets", quiet ? "" : " (% octets)", d->octets),
               field_flag("deleted", " of a deleted folder", d->whole),
               field_str(NULL, done, ""), left("present", "; % there already", d->present),
               left("moved", "; % moved to another folder, not deleted", d->moved),
               left("over", "; %: the retention is over", d->over),
               left("keywords_left_out", "; % keywords left out: too many",
                    d->keywords_left_out),
               field_flag("compacted", "; older ones were compacted away", d->forgotten),
               field_if(d->failed, field_str("error", "; failed: %", d->why.why))));
}

static void
add(struct sums *sums, const struct undelete_folder *d)
{
    sums->folders += d->messages > 0 || (d->made && !d->failed);
    sums->messages += d->messages;
    sums->octets += d->octets;
    sums->left += d->present + d->moved + d->over;
    sums->failed += d->failed;
}

static enum result
bring_all(struct verb_call *c, struct undelete *u, bool dry_run, struct fault *f)
{
    struct sums sums = {0};
    struct undelete_folder folder;
    enum result r;
    while ((r = undelete_next(u, &folder, f)) == R_OK) {
        print_folder(c, &folder, dry_run);
        add(&sums, &folder);
    }
    verb_row(
        c, "total",
        FIELDS(
            field_number("messages", "% messages", sums.messages),
            field_number("octets", " (% octets)", sums.octets),
            field_number("folders", " in % folders", sums.folders),
            field_str(NULL, dry_run ? " would be brought back" : " were brought back", ""),
            field_number("left", "; % left", sums.left),
            field_flag("dry_run", "", dry_run)));
    if (r == R_NONE && sums.failed > 0)
        return fault_set(f, FAULT_CANNOT, "%lu folders were not brought back",
                         (unsigned long)sums.failed);
    return r == R_NONE ? R_OK : R_FAIL;
}

static enum result
read_wish(struct verb_call *c, struct undelete_wish *out, struct fault *f)
{
    int64_t now = clock_wall_s();
    struct span since = verb_arg(c, ARG_SINCE);
    *out = (struct undelete_wish){.since_s = INT64_MIN,
                                  .over_s = now,
                                  .folder = verb_arg(c, ARG_BELOW),
                                  .dry_run = verb_arg(c, ARG_DRY).n > 0};
    return since.n > 0 ? when_read(since, now, &out->since_s, f) : R_OK;
}

enum result
verb_mailbox_undelete(struct verb_call *c, struct fault *f)
{
    struct undelete_wish wish;
    struct mail_user *user;
    struct undelete *u;
    if (read_wish(c, &wish, f) != R_OK ||
        account_of(c, verb_arg(c, ARG_WHO), &user, f) != R_OK)
        return R_FAIL;
    uint64_t retention;
    (void)retention_get(mail_user_account(user), &retention);
    wish.over_s -= (int64_t)retention;
    enum result r = undelete_open(user, &wish, &u, f);
    if (r == R_OK) {
        r = bring_all(c, u, wish.dry_run, f);
        undelete_close(&u);
    }
    mail_user_close(&user);
    return r;
}
