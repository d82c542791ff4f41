#ifndef BENCH_TREE_H
#define BENCH_TREE_H

// A tree is a process and all that descend from it, as /proc shows them: what a server costs, however many processes it is.
// What ended and was waited for counts with its parent. Threads: any.

#include <stdint.h>
#include <sys/types.h>

struct tree {
    uint64_t cpu_us, written, rss_kb, pss_kb, page_tables_kb, processes;
};

// `pss_kb` counts a page that n processes share as 1/n in each. `written` is what reached the disk under `folder` (other
// programs' writes too, so it should be a disk of its own), after a sync; 0 without a folder. /proc/PID/io
// will not do: where the page cache has large folios it counts a whole folio for each write into it.
struct tree tree_read(pid_t root, const char *folder);

#endif
