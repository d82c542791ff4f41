#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

// Clocks: timeouts use clock_mono_ms only; wall time is for what users see (dates, logs).

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);

// A condition whose waits end by clock_mono_us.
void clock_cond_init(pthread_cond_t *cond);
// False: the time is over. As pthread_cond_wait it may also end for no reason.
bool clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_us);

#endif
