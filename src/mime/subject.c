#include "mime/subject.h"

static struct span
skip_space(struct span s)
{
    while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
        s = span_skip(s, 1);
    return s;
}

// subj-blob = "[" *BLOBCHAR "]" *WSP
static bool
take_blob(struct span *s)
{
    size_t n = 1;

    if (s->n == 0 || *s->p != '[')
        return false;
    while (n < s->n && s->p[n] != '[' && s->p[n] != ']')
        n++;
    if (n >= s->n || s->p[n] != ']')
        return false;
    *s = skip_space(span_skip(*s, n + 1));
    return true;
}

// subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
static bool
take_refwd(struct span *s)
{
    struct span rest = *s;

    if (span_istarts(rest, SPAN("fwd")))
        rest = span_skip(rest, 3);
    else if (span_istarts(rest, SPAN("re")) || span_istarts(rest, SPAN("fw")))
        rest = span_skip(rest, 2);
    else
        return false;
    rest = skip_space(rest);
    (void)take_blob(&rest);
    if (rest.n == 0 || *rest.p != ':')
        return false;
    *s = span_skip(rest, 1);
    return true;
}

// Steps 3 to 5. A run of blobs goes as a whole: with the refwd behind it, or one by one as long as
// something is left.
static struct span
strip_front(struct span s, bool *reply)
{
    for (;;) {
        s = skip_space(s);
        struct span last = s, rest = s;
        for (struct span at = s; take_blob(&rest); at = rest)
            last = at;
        if (take_refwd(&rest)) {
            s = rest;
            *reply = true;
            continue;
        }
        return rest.n > 0 ? rest : last;
    }
}

// Step 2: "(fwd)" and white space at the end.
static struct span
strip_back(struct span s, bool *reply)
{
    for (;;) {
        while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
            s.n--;
        if (s.n < 5 || !span_ieq(span_skip(s, s.n - 5), SPAN("(fwd)")))
            return s;
        s.n -= 5;
        *reply = true;
    }
}

struct span
mime_subject_base(struct span subject, bool *reply_out)
{
    *reply_out = false;
    for (;;) {
        subject = strip_back(subject, reply_out);
        subject = strip_front(subject, reply_out);
        bool forwarded =
            span_istarts(subject, SPAN("[fwd:")) && subject.p[subject.n - 1] == ']';
        if (!forwarded)
            return subject;
        subject = span_slice(subject, 5, subject.n - 1);
        *reply_out = true;
    }
}
