#ifndef CTL_SAMPLE_H
#define CTL_SAMPLE_H

// The demo's sample mail: the files of src/ctl/sample, made into C by embed.py.

#include "base/span.h"

extern const struct span samples[];
extern const size_t samples_count;

#endif
