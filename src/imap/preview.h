#ifndef IMAP_PREVIEW_H
#define IMAP_PREVIEW_H

#include <stdbool.h>

// test_preview_late: LAZY previews count as late from the first one on. From any thread.
void imap_preview_late(bool late);

#endif
