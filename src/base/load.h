#ifndef BASE_LOAD_H
#define BASE_LOAD_H

// Is this process overloaded? It is while it uses more memory than the middle between its two limits (budget.h), and
// for some seconds after one of its loops came late to a timer. Work that can wait does (expire), and clients that
// understand it are asked to come back later (Apple's TN3189). Threads: any.

#include <stdbool.h>
#include <stdint.h>

// A loop ran a timer at now_ms that was due at due_ms.
void load_timer(uint64_t due_ms, uint64_t now_ms);
bool load_is_high(void);
void load_pretend(bool high);  // for tests: high whatever is measured

#endif
