#include "imap/flags.h"

#include "base/limits.h"
#include "mail/change.h"

uint16_t
imap_system_flag(struct span name)
{
    return change_flag_from(name);
}

static void
keyword_add(struct parse *p, struct imap_flags *out, struct span name)
{
    size_t n = out->keyword_count;
    if (name.n > LIMIT_keyword || n >= LIMIT_keywords) {
        parse_fail_kind(p, FAULT_LIMIT, "keyword too long, or too many");
        return;
    }
    if ((n & (n - 1)) == 0) {  // room for twice as many, at 0, 1, 2, 4, ...
        struct span *more = arena_array(p->arena, n > 0 ? n * 2 : 1, sizeof *more);
        if (n > 0)
            memcpy(more, out->keywords, n * sizeof *more);
        out->keywords = more;
    }
    out->keywords[out->keyword_count++] = name;
}

static void
flag_add(struct parse *p, struct imap_flags *out)
{
    struct span name = parse_flag(p);
    uint16_t flag = imap_system_flag(name);
    if (p->bad)
        return;
    if (flag)
        out->flags |= flag;
    else if (name.n > 0 && name.p[0] == '\\')
        parse_fail(p, "no such system flag");
    else
        keyword_add(p, out, name);
}

void
imap_parse_flags(struct parse *p, struct imap_flags *out)
{
    if (parse_peek(p) == '(') {
        parse_list_open(p);
        while (parse_list_next(p))
            flag_add(p, out);
        return;
    }
    flag_add(p, out);
    while (parse_try(p, ' '))
        flag_add(p, out);
}
