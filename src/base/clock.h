#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

// Clocks: timeouts use clock_mono_ms only; wall time is for what users see (dates, logs).

#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);

#endif
