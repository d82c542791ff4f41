#include "base/clock.h"

#include "base/fault.h"

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

void
clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    must(pthread_condattr_init(&monotonic) == 0);
    must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(cond, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
}

bool
clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_us)
{
    struct timespec t = {.tv_sec = (time_t)(until_us / 1000000),
                         .tv_nsec = (long)(until_us % 1000000 * 1000)};
    return pthread_cond_timedwait(cond, mutex, &t) == 0;
}
