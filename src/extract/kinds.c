#include "extract/extract.h"

static const struct {
    const char *type, *subtype;
    enum extract_kind kind;
} types[] = {
#define TYPE(type, subtype, kind) {type, subtype, EXTRACT_##kind},
#define NAME(ending, kind)
#include "extract/kinds.def"
#undef TYPE
#undef NAME
};

static const struct {
    const char *ending;
    enum extract_kind kind;
} names[] = {
#define TYPE(type, subtype, kind)
#define NAME(ending, kind) {ending, EXTRACT_##kind},
#include "extract/kinds.def"
#undef TYPE
#undef NAME
};

const char *
extract_verdict_name(enum extract_verdict v)
{
    static const char *const words[EXTRACT_VERDICTS] = {
        [EXTRACT_DONE] = "done",
        [EXTRACT_ENCRYPTED] = "encrypted",
        [EXTRACT_TOO_LARGE] = "too large",
        [EXTRACT_TIMEOUT] = "timeout",
        [EXTRACT_DAMAGED] = "damaged",
        [EXTRACT_TOOL_MISSING] = "tool missing",
        [EXTRACT_UNAVAILABLE] = "unavailable",
    };
    return words[v];
}

static enum extract_kind
kind_of_name(struct span name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct span ending = span_str(names[i].ending);
        if (name.n > ending.n && span_ieq(span_skip(name, name.n - ending.n), ending))
            return names[i].kind;
    }
    return EXTRACT_NONE;
}

// Types that programs give to what they do not know.
static bool
says_nothing(struct span type, struct span subtype)
{
    if (!span_ieq(type, SPAN("application")))
        return type.n == 0 || span_ieq(type, SPAN("unknown"));
    static const char *const words[] = {
        "octet-stream", "unknown",  "download", "x-download", "force-download",
        "x-msdownload", "binary",   "x-binary", "zip",        "x-zip-compressed",
        "file",         "x-unknown"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (span_ieq(subtype, span_str(words[i])))
            return true;
    return subtype.n == 0 || span_istarts(subtype, SPAN("x-unknown"));
}

enum extract_kind
extract_kind_of(struct span type, struct span subtype, struct span name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (span_ieq(type, span_str(types[i].type)) &&
            span_ieq(subtype, span_str(types[i].subtype)))
            return types[i].kind;
    return says_nothing(type, subtype) ? kind_of_name(name) : EXTRACT_NONE;
}
