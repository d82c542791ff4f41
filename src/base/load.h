#ifndef BASE_LOAD_H
#define BASE_LOAD_H

// Is the server overloaded? It is while a process uses more memory than the middle between its two limits (budget.h) or
// one of its loops comes late to a timer, and for some seconds afterwards; the processes tell one another. Work that can wait does (expire), and clients that
// understand it are asked to come back later (Apple's TN3189). Threads: any.

#include <stdbool.h>
#include <stdint.h>

// A loop ran a timer at now_ms that was due at due_ms.
void load_timer(uint64_t due_ms, uint64_t now_ms);
bool load_is_high(void);
void load_pretend(bool high);  // for tests: high whatever is measured
// Where processes tell one another: memory that all of them map, 0 at first.
void load_share(_Atomic uint64_t *until_ms);

#endif
