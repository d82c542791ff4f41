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

// The option whose name begins at `at`, a place in a usage.
static const struct option *
option_at(const char *usage, const char *at)
{
    if (*at != '-' || (at > usage && is_name(at[-1])))
        return NULL;
    for (size_t i = 0; i < options_count; i++) {
        size_t n = strlen(options[i].name);
        if (strncmp(at, options[i].name, n) == 0 && !is_name(at[n]))
            return &options[i];
    }
    return NULL;
}

size_t
option_list(const char *usage, const struct option *out[OPTIONS_MOST])
{
    size_t n = 0;
    for (const char *at = usage; *at != '\0'; at++) {
        const struct option *o = option_at(usage, at);
        size_t known = 0;
        while (o != NULL && known < n && out[known]->offset != o->offset)
            known++;
        if (o == NULL || known < n)
            continue;
        must(n < OPTIONS_MOST);
        out[n++] = o;
    }
    return n;
}

bool
option_is_in(const struct option *o, const char *usage)
{
    for (const char *at = usage; *at != '\0'; at++)
        if (option_at(usage, at) == o)
            return true;
    return false;
}

bool
option_is_required(const struct option *o, const char *usage)
{
    unsigned depth = 0;
    for (const char *at = usage; *at != '\0'; at++) {
        depth += *at == '[';
        depth -= *at == ']';
        if (depth == 0 && option_at(usage, at) == o)
            return true;
    }
    return false;
}

bool
option_is_given(const struct option *o, const struct verb_options *in)
{
    const void *slot = (const char *)in + o->offset;
    return o->value[0] != '\0' ? *(const char *const *)slot != NULL : *(const bool *)slot;
}

const char *
option_argument(const struct option *o, const struct verb_options *in)
{
    const void *slot = (const char *)in + o->offset;
    if (!option_is_given(o, in))
        return "";
    return o->value[0] != '\0' ? *(const char *const *)slot
                               : o->name + strspn(o->name, "-");
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
