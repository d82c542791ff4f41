#ifndef MAIN_THREADS_H
#define MAIN_THREADS_H

// How many processes or threads a setting means: 0 is one per core that this process may use.

unsigned threads_of(unsigned long setting);

#endif
