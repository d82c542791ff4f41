#include "ctl/backup.h"
#include "ctl/call.h"
#include "ctl/output.h"
#include "ctl/owner.h"
#include "ctl/users.h"
#include "ctl/verbs.h"
#include "base/hash.h"
#include "base/pack.h"
#include "store/store.h"
#include <sys/socket.h>

const struct span backup_magic = SPAN("posthorn backup 1\n");

static void
put_piece(struct verb_call *c, enum backup_kind kind, struct span bytes)
{
    struct buf b;
    buf_init(&b, BACKUP_PIECE_MAX + 16);
    pack_u8(&b, (uint8_t)kind);
    pack_u32(&b, (uint32_t)bytes.n);
    buf_put(&b, bytes);
    verb_out(c, buf_span(&b));
    buf_done(&b);
}

void
backup_put(struct verb_call *c, enum backup_kind kind, struct span bytes)
{
    for (; bytes.n > BACKUP_PIECE_MAX; bytes = span_skip(bytes, BACKUP_PIECE_MAX))
        put_piece(c, kind, span_slice(bytes, 0, BACKUP_PIECE_MAX));
    put_piece(c, kind, bytes);
}

// ---- restore: the command's own process, no server running ----

struct restore {
    FILE *file;
    enum backup_kind kind;
    size_t left;  // of the piece being read
    struct buf users;
    bool part;
    int watch;
};

static enum result
cut_short(struct restore *r, struct fault *f)
{
    if (ferror(r->file))
        return fault_errno(f, FAULT_DISK, "the backup cannot be read");
    return fault_set(f, FAULT_CORRUPTION, "the backup is cut short");
}

static bool
is_given_up(const struct restore *r)
{
    char more;
    return r->part && recv(r->watch, &more, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static enum result
next_piece(struct restore *r, struct fault *f)
{
    char head[5];
    if (is_given_up(r))
        return fault_set(f, FAULT_CLOSED, "the command went away");
    if (fread(head, 1, sizeof head, r->file) != sizeof head)
        return cut_short(r, f);
    struct unpack u = unpack_of(span_of(head, sizeof head));
    uint8_t kind = unpack_u8(&u);
    uint32_t n = unpack_u32(&u);
    if (kind > BACKUP_USERS_SUM || n > BACKUP_PIECE_MAX)
        return fault_set(f, FAULT_CORRUPTION, "the backup is damaged");
    r->kind = kind;
    r->left = n;
    return R_OK;
}

static enum result
read_users(struct restore *r, struct fault *f)
{
    char piece[BACKUP_PIECE_MAX];
    while (r->kind == BACKUP_USERS) {
        if (fread(piece, 1, r->left, r->file) != r->left)
            return cut_short(r, f);
        buf_put(&r->users, span_of(piece, r->left));
        if (next_piece(r, f) != R_OK)
            return R_FAIL;
    }
    return r->users.over ? fault_set(f, FAULT_TOOBIG, "too many users") : R_OK;
}

// Older backups have no checksum there.
static enum result
check_users(struct restore *r, struct fault *f)
{
    char sum[8];
    if (r->kind != BACKUP_USERS_SUM)
        return R_OK;
    if (r->left != sizeof sum)
        return fault_set(f, FAULT_CORRUPTION, "the backup is damaged");
    if (fread(sum, 1, sizeof sum, r->file) != sizeof sum)
        return cut_short(r, f);
    struct unpack u = unpack_of(span_of(sum, sizeof sum));
    if (unpack_u64(&u) != hash64(buf_span(&r->users)))
        return fault_set(f, FAULT_CORRUPTION, "the users' checksum in the backup is wrong");
    return next_piece(r, f);
}

static enum result
store_source(char *dst, size_t len, size_t *n_out, void *arg, struct fault *f)
{
    struct restore *r = arg;
    while (r->left == 0 && r->kind == BACKUP_STORE)
        if (next_piece(r, f) != R_OK)
            return R_FAIL;
    if (r->kind != BACKUP_STORE) {
        *n_out = 0;
        return R_OK;
    }
    size_t n = fread(dst, 1, len < r->left ? len : r->left, r->file);
    if (n == 0)
        return cut_short(r, f);
    r->left -= n;
    *n_out = n;
    return R_OK;
}

// The store knows the end of its own stream; then the backup's end must follow.
static enum result
expect_end(struct restore *r, struct fault *f)
{
    char more;
    size_t n = 0;
    if (store_source(&more, 1, &n, r, f) != R_OK)
        return R_FAIL;
    if (n == 0 && r->left == 0 && fgetc(r->file) == EOF)
        return R_OK;
    return fault_set(f, FAULT_CORRUPTION, "the backup has octets behind its end");
}

static enum result
check_magic(struct restore *r, struct fault *f)
{
    char magic[32] = {0};
    must(backup_magic.n <= sizeof magic);
    size_t n = fread(magic, 1, backup_magic.n, r->file);
    if (span_eq(span_of(magic, n), backup_magic))
        return R_OK;
    if (span_starts(span_of(magic, n), SPAN("posthorn backup ")))
        return fault_set(f, FAULT_BAD,
                         "this backup has a newer format than 1: use a newer program");
    return fault_set(f, FAULT_BAD, "this is no backup of Posthorn");
}

static enum result
restore_all(struct restore *r, const struct config *c, struct fault *f)
{
    struct store_options o;
    call_store_options(c, &o);
    if (check_magic(r, f) != R_OK || next_piece(r, f) != R_OK || read_users(r, f) != R_OK ||
        check_users(r, f) != R_OK)
        return R_FAIL;
    enum result done = r->part ? store_unpack(&o, store_source, r, f)
                               : store_restore(&o, store_source, r, f);
    if (done != R_OK)
        return R_FAIL;
    if (expect_end(r, f) != R_OK || users_restore(c->data, buf_span(&r->users), f) != R_OK)
        return R_FAIL;
    return store_restore_end(&o, f);
}

static int
finish(enum result r, const struct fault *f)
{
    if (r == R_OK)
        return 0;
    return output_fault(f, 1);
}

static enum result
no_server(const struct config *c, struct fault *f)
{
    int fd;
    enum result r = call_connect(c->data, &fd, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    close(fd);
    return fault_set(f, FAULT_INUSE, "a server runs on %.100s; stop it first", c->data);
}

enum result
backup_unpack(FILE *file, const struct config *c, bool part, int watch, struct fault *f)
{
    struct restore r = {.file = file, .part = part, .watch = watch};
    buf_init(&r.users, BACKUP_USERS_MAX);
    enum result done = restore_all(&r, c, f);
    buf_done(&r.users);
    return done;
}

static enum result
restore_whole(FILE *file, const struct config *c, struct fault *f)
{
    if (no_server(c, f) != R_OK || owner_become(c, f) != R_OK)
        return R_FAIL;
    return backup_unpack(file, c, false, -1, f);
}

// One message at most, a UID in its folder, and all of it of a user.
static bool
fits_together(const struct verb_options *o)
{
    int selectors = (o->uid != NULL) + (o->message_id != NULL) + (o->emailid != NULL);
    if (o->user == NULL)
        return selectors == 0 && o->folder == NULL && o->to == NULL && !o->dry_run;
    if (o->folder == NULL && selectors == 0)  // all of the user
        return o->to == NULL;
    return selectors <= 1 && (o->folder != NULL || o->uid == NULL);
}

int
verb_restore(const struct verb_options *o, const char *const *args, size_t n)
{
    struct fault f;
    struct config *c;
    if (!fits_together(o))
        return verb_wrong_arguments(verb_find(SPAN("restore")));
    bool standard = span_eq(span_str(args[0]), SPAN("-"));
    FILE *file = standard ? stdin : fopen(args[0], "re");
    (void)n;
    if (file == NULL) {
        fault_errno(&f, FAULT_BAD, args[0]);
        return output_fault(&f, 1);
    }
    int code = finish(verb_config(o, &c, &f), &f);
    if (code == 0) {
        code = o->user != NULL ? restore_part(file, c, o)
                               : finish(restore_whole(file, c, &f), &f);
        config_free(&c);
    }
    if (!standard)
        fclose(file);
    return code;
}

static void
report(const char *line, void *arg)
{
    (void)arg;
    output_row("finding", FIELDS(field_str("message", "%", line)));
}

static enum result
rebuild(const struct config *c, struct fault *f)
{
    struct store_options o;
    call_store_options(c, &o);
    if (no_server(c, f) != R_OK || call_store_there(c, f) != R_OK ||
        owner_become(c, f) != R_OK)
        return R_FAIL;
    return store_rebuild(&o, report, NULL, f);
}

int
verb_rebuild(const struct verb_options *o, const char *const *args, size_t n)
{
    struct fault f;
    struct config *c;
    (void)args, (void)n;
    enum result r = verb_config(o, &c, &f);
    if (r == R_OK) {
        r = rebuild(c, &f);
        config_free(&c);
    }
    return finish(r, &f);
}
