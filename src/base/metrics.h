#ifndef BASE_METRICS_H
#define BASE_METRICS_H

// Numbers that an administrator watches. Every process counts into the same memory (metrics_share); until then, and in
// tests, into memory of its own. Counting is one relaxed addition; a number may be read while another is behind it.
// Threads: any.

#include "base/buf.h"

#include <stdatomic.h>

enum metric_number {
#define COUNTER(id, name, labels, help) METRIC_##id,
#define GAUGE(id, name, labels, help) METRIC_##id,
#define TIME(id, name, help)
#include "base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef TIME
    METRIC_NUMBERS
};
enum metric_time {
#define COUNTER(id, name, labels, help)
#define GAUGE(id, name, labels, help)
#define TIME(id, name, help) METRIC_##id,
#include "base/metrics.def"
#undef COUNTER
#undef GAUGE
#undef TIME
    METRIC_TIMES
};
enum { METRIC_BUCKETS = 13, METRIC_COMMANDS = 192, METRIC_COMMAND_NAME = 24 };
enum metric_result { METRIC_OK, METRIC_NO, METRIC_BAD, METRIC_RESULTS };

struct metric_histogram {
    _Atomic uint64_t counts[METRIC_BUCKETS + 1];  // the last: longer than all
    _Atomic uint64_t sum_us;
};

// All zeros at first. Trust: a process that was taken over can write anything here.
struct metrics {
    _Atomic uint64_t numbers[METRIC_NUMBERS];
    struct metric_histogram times[METRIC_TIMES];
    // of the commands of IMAP, by a number that the mail role gives them (metrics_command_name)
    char names[METRIC_COMMANDS][METRIC_COMMAND_NAME];
    struct metric_histogram commands[METRIC_COMMANDS][METRIC_RESULTS];
};

void metrics_share(struct metrics *m);
void metric_add(enum metric_number n, int64_t by);
void metric_set(enum metric_number n, uint64_t value);
uint64_t metric_get(enum metric_number n);
void metric_time(enum metric_time t, uint64_t us);
void metrics_command_name(unsigned command, const char *name);
void metric_command(unsigned command, enum metric_result result, uint64_t us);
// Prometheus' text form, version 0.0.4.
void metrics_print(const struct metrics *m, struct buf *out);

#endif
