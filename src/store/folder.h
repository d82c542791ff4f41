#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

// The data directory itself: made when missing, locked by one process, its format and its uuid.
//   lock      flock; who holds it owns the store
//   format    "posthorn store 1", or 2: bodies may be compressed. A newer number is refused
//   uuid      16 octets; the index names it
//   restoring is there while a restore is not complete
//   journal/ bodies/ index/
// Threads: one.

#include "base/span.h"

enum { FOLDER_FORMAT = 2, FOLDER_FORMAT_PLAIN = 1 };

struct folder {
    int lock_fd;
    uint32_t format;
    uint8_t uuid[16];
};
// FAULT_INUSE when another process has the lock, FAULT_CORRUPTION for a newer or unreadable format, and for a
// restore that was not finished, unless FOLDER_RESTORING. With FOLDER_COMPRESS the format is 2 from now on, durably.
enum { FOLDER_RESTORING = 1, FOLDER_COMPRESS = 2 };
enum result folder_open(const char *path, unsigned how, struct folder *out,
                        struct fault *f) MUST_CHECK;
// Raises the format of a directory that is open, or being filled.
enum result folder_compress(const char *path, struct fault *f) MUST_CHECK;
// Between begin and end the directory holds a restore that is not complete. FAULT_ALREADYEXISTS when there is mail.
enum result folder_restore_begin(const char *path, struct fault *f) MUST_CHECK;
enum result folder_restore_end(const char *path, struct fault *f) MUST_CHECK;
void folder_close(struct folder *folder);

#endif
