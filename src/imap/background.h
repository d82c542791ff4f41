#ifndef IMAP_BACKGROUND_H
#define IMAP_BACKGROUND_H

// Downloads that a client does in the background (ext/id.c).

#include <stdbool.h>

// While the server is overloaded their ID is answered NO [UNAVAILABLE] (Apple's TN3189). From any thread.
void imap_background_shed(bool on);

#endif
