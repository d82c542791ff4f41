// Imports of a Maildir or of mbox files whose names and contents are the input: what the feed sends are whole parcels in
// their order, names and messages as they are announced, and nothing from outside the folder.
#include "ctl/feed.h"
#include "base/limits.h"
#include "base/utf8.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf sent;
static char base[] = "/dev/shm/feed_fuzz.XXXXXX", root[64];

// Stands for the connection to the server, which this target leaves out.
enum result
verb_client_put(struct verb_client *c, struct span bytes, struct fault *f)
{
    (void)c, (void)f;
    buf_put(&sent, bytes);
    return R_OK;
}

struct span
verb_client_arg(const struct verb_client *c, size_t i)
{
    (void)c, (void)i;
    return SPAN_NONE;
}

// An import from another server is not this target's.
enum result
verb_client_wait(struct verb_client *c, int fd, struct fault *f)
{
    (void)c, (void)fd;
    return fault_set(f, FAULT_UNAVAILABLE, "no server");
}

void **
verb_client_state(struct verb_client *c)
{
    static void *state;
    (void)c;
    return &state;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind;
    return where->level > 0 ? remove(path) : 0;
}

static void
remove_root(void)
{
    (void)nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    (void)rmdir(base);
}

// "name\ncontents\0name\ncontents": below one of the folders that a Maildir has, or the root.
static void
make_file(struct span piece)
{
    static const char *const at[] = {"",   "cur/",   "new/",        ".A/cur/",
                                     "B/", "B/cur/", ".&AOk-/cur/", "tmp/"};
    char path[512];
    size_t cut = span_find_char(piece, '\n');
    struct span name = span_slice(piece, 1, cut > 200 ? 200 : cut),
                text = span_skip(piece, cut + 1);
    if (piece.n < 3 || name.n == 0 || span_find_char(name, '/') < name.n)
        return;
    snprintf(path, sizeof path, "%s/%s%.*s", root, at[piece.p[0] & 7], SPAN_ARG(name));
    if (piece.p[0] & 8) {
        (void)!symlink("../outside", path);  // larger than all that an input holds
    } else if (piece.p[0] & 16) {
        (void)!mkdir(path, 0700);
    } else {
        int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
        if (fd >= 0)
            must(write(fd, text.p, text.n) == (ssize_t)text.n && close(fd) == 0);
    }
}

// The root, and beside it a file that nobody may read through a link.
static void
make_base(void)
{
    char path[64];
    must(mkdtemp(base) != NULL && atexit(remove_root) == 0);
    snprintf(root, sizeof root, "%s/root", base);
    snprintf(path, sizeof path, "%s/outside", base);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    must(mkdir(root, 0700) == 0 && fd >= 0 && ftruncate(fd, 1 << 20) == 0 &&
         close(fd) == 0);
}

static void
make_tree(struct span in)
{
    static const char *const folders[] = {"cur", "new",   "tmp",    ".A",        ".A/cur",
                                          "B",   "B/cur", ".&AOk-", ".&AOk-/cur"};
    struct span piece;
    char path[128];
    if (!root[0])
        make_base();
    must(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        must(mkdir(path, 0700) == 0);
    }
    while (in.n > 0 && span_next_field(&in, '\0', &piece) == R_OK)
        make_file(piece);
}

// ANNOUNCE.., SUBSCRIBED.., then MAILBOX and its messages.
static void
check_parcels(struct span text, size_t max)
{
    enum parcel_kind at = PARCEL_ANNOUNCE;
    size_t octets = 0;
    struct arena *a = arena_new();
    struct parcel p;
    struct fault f;
    for (; text.n > 0; text = span_skip(text, p.size)) {
        struct parcel_mailbox box;
        struct parcel_message m;
        must(parcel_get(text, &p, &f) == R_OK);
        if (p.kind == PARCEL_PROBLEM)
            continue;
        bool within = at == PARCEL_MESSAGE;
        must((p.kind >= PARCEL_OCTETS && p.kind <= PARCEL_ABORT) == within ||
             p.kind == PARCEL_ABORT);
        must(p.kind != PARCEL_ANNOUNCE || at == PARCEL_ANNOUNCE);
        if (p.kind == PARCEL_ANNOUNCE)
            must(p.payload.n <= LIMIT_mailbox_name * 4 && utf8_valid(p.payload));
        if (p.kind == PARCEL_MAILBOX)
            must(parcel_get_mailbox(p.payload, &box) == R_OK && utf8_valid(box.name));
        if (p.kind == PARCEL_MESSAGE)
            must(parcel_get_message(p.payload, a, &m) == R_OK);
        octets += p.kind == PARCEL_OCTETS ? p.payload.n : 0;
        at = p.kind == PARCEL_OCTETS ? PARCEL_MESSAGE : p.kind;
    }
    must(at != PARCEL_MESSAGE && octets <= max);
    arena_free(&a);
}

static void
feed(enum result (*by)(struct feed *fd, struct fault *f), size_t size)
{
    struct feed fd = {.path = span_str(root), .arena = arena_new(), .root = -1};
    struct fault f = {0};
    buf_init(&fd.out, SIZE_MAX);
    buf_init(&sent, SIZE_MAX);
    if (by(&fd, &f) == R_OK) {
        must(feed_flush(&fd, true, &f) == R_OK);
        check_parcels(buf_span(&sent), size * 2);
    } else {
        must(f.why[0] != '\0');
    }
    if (fd.root >= 0)
        close(fd.root);
    buf_done(&fd.out);
    buf_done(&sent);
    arena_free(&fd.arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_tree(span_of(data, size));
    feed(feed_maildir, size);
    feed(feed_mbox, size);
    return 0;
}
