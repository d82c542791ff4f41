#include "ctl/option.h"
#include <stddef.h>

const struct option options[] = {
#define OPTION(name, member, value, help)                                                  \
    {name, offsetof(struct verb_options, member), value, help},
#include "ctl/options.def"
#undef OPTION
};
const size_t options_count = sizeof options / sizeof options[0];

static bool
is_name(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-';
}

bool
option_is_in(const struct option *o, const char *usage)
{
    size_t n = strlen(o->name);
    for (const char *at = usage; (at = strstr(at, o->name)) != NULL; at++)
        if ((at == usage || !is_name(at[-1])) && !is_name(at[n]))
            return true;
    return false;
}

bool
option_is_general(const struct option *o)
{
    for (size_t i = 0; &options[i] <= o; i++)
        if (i > 0 && strcmp(options[i - 1].name, "--help") == 0)
            return false;
    return true;
}

// "--data DIR" and "--data=DIR"
static int
read_value(const char **slot, const struct option *o, int argc, char **argv, int i)
{
    struct span name = span_str(o->name), arg = span_str(argv[i]);
    if (span_eq(arg, name) && i + 1 < argc) {
        *slot = argv[i + 1];
        return 2;
    }
    if (span_starts(arg, name) && arg.n > name.n && arg.p[name.n] == '=') {
        *slot = argv[i] + name.n + 1;
        return 1;
    }
    return 0;
}

int
option_read(struct verb_options *to, int argc, char **argv, int i)
{
    for (size_t k = 0; k < options_count; k++) {
        const struct option *o = &options[k];
        void *slot = (char *)to + o->offset;
        int took = 0;
        if (o->value[0] != '\0') {
            took = read_value(slot, o, argc, argv, i);
        } else if (strcmp(argv[i], o->name) == 0) {
            *(bool *)slot = true;
            took = 1;
        }
        if (took > 0)
            return took;
    }
    return 0;
}
