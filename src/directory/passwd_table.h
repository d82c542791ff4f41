#ifndef DIRECTORY_PASSWD_TABLE_H
#define DIRECTORY_PASSWD_TABLE_H

// A passwd table is a passwd-file (auth/passwd_file.h) in memory, read again when the file has changed: its time, its size or
// its inode. A new table takes the place of the old one as a whole. A file that is being written, also a new one, is left alone
// until it has not changed for a moment; one that cannot be read answers for nobody.
// Of two lines with one name the last counts. Threads: one.

#include "directory/directory.h"

struct passwd_table;

// Told of each line that is passed over, LIMIT_passwd_file_said at most for each time the file is read.
typedef void passwd_bad_fn(uint64_t line, const char *why, void *arg);

struct passwd_table *passwd_table_new(const char *path, passwd_bad_fn *bad, void *arg);
void passwd_table_free(struct passwd_table **t);

// R_OK: there is a new table; R_NONE: nothing has changed. R_FAIL (FAULT_UNAVAILABLE): there is none.
enum result passwd_table_refresh(struct passwd_table *t, struct fault *f) MUST_CHECK;
// In the form of directory_find, of the table as it was last read.
enum result passwd_table_find(struct passwd_table *t, struct span name,
                              struct directory_user *out, struct fault *f) MUST_CHECK;

// Names of all users, as directory_list_names puts them.
enum result passwd_table_list(const struct passwd_table *t, struct buf *out,
                              struct fault *f) MUST_CHECK;

#endif
