#ifndef MAIN_RAWLOG_H
#define MAIN_RAWLOG_H

// Files into which is written what sessions say (`posthorn rawlog`), below rawlog/ in the data directory: one for each
// session, mode 0600, at most LIMIT_rawlog_file octets each and LIMIT_rawlog_files of them; those that nothing came into
// for LIMIT_rawlog_keep_s go. A thread of its own opens and writes them: a disk that is slow, full or broken keeps nobody
// waiting (one that is full ends the file, with a line of the log, and nothing else), and what does not fit into the queue (LIMIT_rawlog_queue) is lost to the file, which says so.
// Owner: the mail role; a file is its session's until rawlog_end. Threads: any, each file one at a time.

#include "base/span.h"

struct rawlog_writer;
struct rawlog;

struct rawlog_writer *rawlog_writer_new(const char *folder);
void rawlog_writer_free(struct rawlog_writer **w);  // after all files have ended

// `head` is the file's first line. The name is made of user and session.
struct rawlog *rawlog_begin(struct rawlog_writer *w, struct span user, uint64_t session,
                            struct span head);
void rawlog_put(struct rawlog *r, bool by_client, struct span s);
bool rawlog_goes_on(const struct rawlog *r);  // false: it is full, or its file failed
void rawlog_end(struct rawlog **r);

#endif
