#include "base/metrics.h"

static struct metrics own;
static struct metrics *here = &own;

static const uint32_t bounds_us[METRIC_BUCKETS] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000};

void
metrics_share(struct metrics *m)
{
    here = m;
}

void
metric_add(enum metric_number n, int64_t by)
{
    atomic_fetch_add_explicit(&here->numbers[n], (uint64_t)by, memory_order_relaxed);
}

void
metric_set(enum metric_number n, uint64_t value)
{
    atomic_store_explicit(&here->numbers[n], value, memory_order_relaxed);
}

uint64_t
metric_get(enum metric_number n)
{
    return atomic_load_explicit(&here->numbers[n], memory_order_relaxed);
}

static void
observe(struct metric_histogram *h, uint64_t us)
{
    unsigned i = 0;
    while (i < METRIC_BUCKETS && us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

void
metric_time(enum metric_time t, uint64_t us)
{
    observe(&here->times[t], us);
}

void
metrics_command_name(unsigned command, const char *name)
{
    if (command < METRIC_COMMANDS)
        snprintf(here->names[command], METRIC_COMMAND_NAME, "%s", name);
}

void
metric_command(unsigned command, enum metric_result result, uint64_t us)
{
    if (command < METRIC_COMMANDS)
        observe(&here->commands[command][result], us);
}

static uint64_t
load(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static void
put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP posthorn_%s %s\n# TYPE posthorn_%s %s\n", name, help, name,
               type);
}

static void
put_number(struct buf *out, const char *name, const char *labels, uint64_t value)
{
    buf_printf(out, "posthorn_%s%s%s%s %lld\n", name, labels[0] ? "{" : "", labels,
               labels[0] ? "}" : "", (long long)value);
}

// labels: "" or `command="NOOP",`.
static void
put_histogram(struct buf *out, const char *name, const char *labels,
              const struct metric_histogram *h)
{
    uint64_t total = 0;
    for (unsigned i = 0; i <= METRIC_BUCKETS; i++) {
        total += load(&h->counts[i]);
        if (i < METRIC_BUCKETS)
            buf_printf(out, "posthorn_%s_bucket{%sle=\"%g\"} %llu\n", name, labels,
                       bounds_us[i] / 1e6, (unsigned long long)total);
        else
            buf_printf(out, "posthorn_%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels,
                       (unsigned long long)total);
    }
    size_t n = strlen(labels);
    int shown = n ? (int)n - 1 : 0;  // without the last comma
    const char *open = n ? "{" : "", *close = n ? "}" : "";
    buf_printf(out, "posthorn_%s_sum%s%.*s%s %.6f\n", name, open, shown, labels, close,
               (double)load(&h->sum_us) / 1e6);
    buf_printf(out, "posthorn_%s_count%s%.*s%s %llu\n", name, open, shown, labels, close,
               (unsigned long long)total);
}

static bool
is_empty(const struct metric_histogram *h)
{
    for (unsigned i = 0; i <= METRIC_BUCKETS; i++)
        if (load(&h->counts[i]) > 0)
            return false;
    return true;
}

// Names come from another process.
static bool
is_name(const char name[METRIC_COMMAND_NAME])
{
    size_t n = strnlen(name, METRIC_COMMAND_NAME);
    for (size_t i = 0; i < n; i++)
        if (!ascii_is_alpha(name[i]) && !ascii_is_digit(name[i]) && name[i] != '-' &&
            name[i] != ' ')
            return false;
    return n > 0 && n < METRIC_COMMAND_NAME;
}

static void
put_commands(const struct metrics *m, struct buf *out)
{
    static const char *const results[METRIC_RESULTS] = {"ok", "no", "bad"};
    char labels[80];
    put_head(out, "imap_command_duration_seconds", "histogram",
             "Time from a command's line to its tagged answer");
    for (unsigned c = 0; c < METRIC_COMMANDS; c++)
        for (unsigned r = 0; is_name(m->names[c]) && r < METRIC_RESULTS; r++) {
            if (is_empty(&m->commands[c][r]))
                continue;
            snprintf(labels, sizeof labels, "command=\"%s\",result=\"%s\",", m->names[c],
                     results[r]);
            put_histogram(out, "imap_command_duration_seconds", labels, &m->commands[c][r]);
        }
}

void
metrics_print(const struct metrics *m, struct buf *out)
{
    const char *last = "";
#define NUMBER(id, name, type, labels, help)                                               \
    if (strcmp(last, name) != 0)                                                           \
        put_head(out, name, type, help);                                                   \
    last = name;                                                                           \
    put_number(out, name, labels, load(&m->numbers[METRIC_##id]));
#define COUNTER(id, name, labels, help) NUMBER(id, name, "counter", labels, help)
#define GAUGE(id, name, labels, help) NUMBER(id, name, "gauge", labels, help)
#define TIME(id, name, help)                                                               \
    put_head(out, name, "histogram", help);                                                \
    put_histogram(out, name, "", &m->times[METRIC_##id]);
#include "base/metrics.def"
#undef NUMBER
#undef COUNTER
#undef GAUGE
#undef TIME
    put_commands(m, out);
    put_head(out, "info", "gauge", "The version that runs");
    buf_put_str(out, "posthorn_info{version=\"" POSTHORN_VERSION "\"} 1\n");
}
