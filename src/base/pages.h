#ifndef BASE_PAGES_H
#define BASE_PAGES_H

// Large arrays: zeroed memory with pages of its own, huge ones where it is large, unless it is small. It goes back to the system when it
// is freed, whatever was allocated after it. Sizes are in octets; who frees or grows it knows its size.

#include <stddef.h>

void *pages_new(size_t size);
// The same for what will be written to its end, soon: its pages are there already, and of the usual size.
void *pages_whole(size_t size);
void *pages_grow(void *p, size_t old, size_t size);  // `size` is more; p may be NULL
void pages_free(void *p, size_t size);               // takes NULL

#endif
