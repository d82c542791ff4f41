#ifndef MAIL_LEARN_H
#define MAIL_LEARN_H

// Learning: rspamd is told what users call junk. What they put into the folder with the use \Junk - COPY, MOVE, APPEND, a label - or
// mark $Junk is spam; what they take out of it, but into \Trash, or mark $NotJunk is not. What LMTP or a script files is no user's
// word, nor is what an import brings.
// A change notes its messages; they are queued when it is committed, and read and sent behind it, one after the other. Nothing waits
// for that. The queue of a thread is bounded (LIMIT_learn_waiting); what it has no room for, or what rspamd does not take at
// LIMIT_learn_tries tries, is logged and counted, and forgotten: so is the queue when the server ends.
// Threads: the account's home. What changes note is mail/learn_inside.h.

#include <stdbool.h>

void learn_set(bool on);  // before any thread; false: nothing is noted
// Of this thread: what waits is forgotten.
void learn_stop(void);

#endif
