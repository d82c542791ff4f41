#ifndef STORE_DERIVED_FILES_H
#define STORE_DERIVED_FILES_H

// Derived strings of the embedded engine: files data/derived/ACCOUNT/NAME (docs/format.md); NAME.new while one is
// written. derived_files.c writes and reads them, derived_folder.c has the folders. All calls of the file system but a
// read that the page cache can answer run on the pool.

#include "store/derived_inside.h"

#include <pthread.h>

enum { DERIVED_FOLDER = 17, DERIVED_FILE = DERIVED_NAME + sizeof ".new" };

struct derived_table {
    int fd;              // data/derived; -1: it could not be opened
    struct fault fault;  // why
    pthread_mutex_t mutex;
    struct derived_writer *writers;  // at work: their files are no leftovers
};

// One call on its way through the pool.
struct derived_job {
    struct store *store;
    struct derived_writer *w;
    struct derived *d;
    uint64_t account;
    const char *name;
    uint64_t offset;
    char *dst;
    size_t n;
    bool last;
    struct derived_list *list;
    struct buf ids;
    enum result (*fn)(struct derived_job *j);
    enum result result;
    struct fault *f;
};

// Suspends. Runs fn on the pool.
enum result derived_run(struct derived_job *j, struct store *s,
                        enum result (*fn)(struct derived_job *j),
                        struct fault *f) MUST_CHECK;
void derived_folder_name(char out[DERIVED_FOLDER], uint64_t account);
void derived_name_new(char out[DERIVED_FILE], const char *name);
// R_NONE: the account has none.
enum result derived_folder_open(const struct store *s, uint64_t account, int *fd_out,
                                struct fault *f) MUST_CHECK;
// While it is listed its file is no leftover.
void derived_writer_listed(struct derived_writer *w, bool listed);

void derived_files_start(struct store *s);
void derived_files_stop(struct store *s);
enum result derived_files_remove(struct store *s, uint64_t account, const char *name,
                                 struct fault *f);
enum result derived_files_list(struct store *s, uint64_t account, struct derived_list *out,
                               struct fault *f);
enum result derived_files_accounts(struct store *s, uint64_t **ids_out, size_t *n_out,
                                   struct fault *f);
enum result derived_files_clear(struct store *s, uint64_t account, struct fault *f);
enum result derived_files_clear_all(struct store *s, struct fault *f);

#endif
