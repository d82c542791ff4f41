#ifndef CTL_OPTION_H
#define CTL_OPTION_H

// An option of the command line is a row of options.def: its name, the member of struct verb_options that it fills (a text, or
// a bool where it is a switch), and its help.
// Threads: any (constant data).

#include "ctl/verb.h"

struct option {
    const char *name;   // "--data", "-c"
    size_t offset;      // in struct verb_options
    const char *value;  // "DIR"; "": a switch
    const char *help;
};

extern const struct option options[];
extern const size_t options_count;

enum { OPTIONS_MOST = 32 };  // of one verb

// The options that a usage ("PATH -u USER [--folder NAME]") names, each once, in its order; how many those are.
size_t option_list(const char *usage, const struct option *out[OPTIONS_MOST]);
bool option_is_in(const struct option *o, const char *usage);
// It stands outside of the usage's brackets.
bool option_is_required(const struct option *o, const char *usage);
bool option_is_given(const struct option *o, const struct verb_options *in);
// Its value as an argument: of a switch its name without dashes; "" where it was not given.
const char *option_argument(const struct option *o, const struct verb_options *in);
// Does every verb take it?
bool option_is_general(const struct option *o);
// Takes argv[i] ("--data DIR", "--data=DIR", "--json") into *to; how many arguments that were, 0: it is no option.
int option_read(struct verb_options *to, int argc, char **argv, int i);

#endif
