#include "mime/message_id.h"

// How far the end of a comment or quoted string is looked for, and how often in vain: after that they are text.
enum { FAR = 998, UNENDED_MOST = 16 };

// What ends with the comment or quoted string that the rest begins with; 0: it does not end, and its first octet is text.
static size_t
enclosed(struct mime_message_ids *ids)
{
    struct span s = ids->rest;
    if (ids->unended == UNENDED_MOST)
        return 0;
    char open = s.p[0], close = open == '(' ? ')' : '"';
    size_t level = 1;
    for (size_t i = 1; i < s.n && i < FAR; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == close && --level == 0)
            return i + 1;
        else if (s.p[i] == open)
            level++;
    }
    ids->unended++;
    return 0;
}

static void
put_quoted(struct buf *out, struct span inside)
{
    for (size_t i = 0; i < inside.n; i++) {
        if (inside.p[i] == '\\' && i + 1 < inside.n)
            i++;
        if (inside.p[i] != '\0' && inside.p[i] != '\r' && inside.p[i] != '\n')
            buf_put_char(out, inside.p[i]);
    }
}

// Behind '<'. False: the text ended.
static bool
take(struct mime_message_ids *ids, struct buf *out)
{
    struct span *text = &ids->rest;
    size_t begin = out->n, n;
    while (text->n > 0) {
        char c = *text->p;
        n = c == '(' || c == '"' ? enclosed(ids) : 0;
        if (n > 0 && c == '"')
            put_quoted(out, span_slice(*text, 1, n - 1));
        *text = span_skip(*text, n > 0 ? n : 1);
        if (n > 0)
            continue;
        if (c == '>')
            return true;
        if (c == '<')  // the one before did not end
            out->n = begin;
        else if (!ascii_is_space(c) && c != '"' && c != '\\' && c != '\0')
            buf_put_char(out, c);
    }
    return false;
}

bool
mime_message_id_next(struct mime_message_ids *ids, struct buf *out)
{
    struct span *text = &ids->rest;
    size_t begin = out->n, n;
    while (text->n > 0) {
        char c = *text->p;
        n = c == '(' ? enclosed(ids) : 0;
        *text = span_skip(*text, n > 0 ? n : 1);
        if (c != '<')
            continue;
        if (take(ids, out) && out->n > begin)
            return true;
        out->n = begin;
    }
    *text = SPAN_NONE;
    return false;
}

bool
mime_message_id_valid(struct span id)
{
    size_t at = span_find_char(id, '@');
    return at > 0 && at + 1 < id.n;
}
