#include "io/preauth.h"

void
preauth_put_mechanisms(const struct preauth_facts *f, struct buf *b, const char *before,
                       const char *behind)
{
    struct span rest = f->mechanisms, word;
    while (span_next_field(&rest, ' ', &word) == R_OK) {
        if (word.n == 0 || (!f->tls && span_ends(word, SPAN("-PLUS"))) ||
            (!f->certificate && span_eq(word, SPAN("EXTERNAL"))))
            continue;
        buf_put_str(b, before);
        buf_put(b, word);
        buf_put_str(b, behind);
    }
}
