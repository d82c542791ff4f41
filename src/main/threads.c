#include "main/threads.h"
#include "base/limits.h"
#include <sched.h>

unsigned
threads_of(unsigned long setting)
{
    cpu_set_t cores;
    if (setting > 0)
        return setting < LIMIT_processes ? (unsigned)setting : LIMIT_processes;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0)
        return 1;
    int n = CPU_COUNT(&cores);
    return n < LIMIT_processes ? (unsigned)n : LIMIT_processes;
}
