#include "base/clock.h"

#include <time.h>

static int64_t
now_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint64_t
clock_mono_ms(void)
{
    return (uint64_t)now_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t
clock_mono_us(void)
{
    return (uint64_t)now_us(CLOCK_MONOTONIC);
}

int64_t
clock_wall_s(void)
{
    return now_us(CLOCK_REALTIME) / 1000000;
}

int64_t
clock_wall_ms(void)
{
    return now_us(CLOCK_REALTIME) / 1000;
}
