// The lines that tell flags: FLAGS, PERMANENTFLAGS, and FETCH of what changed.
#include "imap/response.h"

#include "base/limits.h"

static const struct {
    uint16_t flag;
    uint32_t right;  // that may change it, RFC 4314 section 4
    const char *text;
} system_flags[] = {
    {FLAG_ANSWERED, RIGHT_WRITE, "\\Answered"}, {FLAG_FLAGGED, RIGHT_WRITE, "\\Flagged"},
    {FLAG_DELETED, RIGHT_DELETED, "\\Deleted"}, {FLAG_SEEN, RIGHT_SEEN, "\\Seen"},
    {FLAG_DRAFT, RIGHT_WRITE, "\\Draft"},
};

static void
put_flags(struct buf *b, uint16_t flags, const struct span *keywords, size_t keyword_count)
{
    buf_put_char(b, '(');
    for (size_t i = 0; i < sizeof system_flags / sizeof *system_flags; i++)
        if (flags & system_flags[i].flag)
            imap_put_word(b, span_str(system_flags[i].text));
    for (size_t i = 0; i < keyword_count; i++)
        imap_put_word(b, keywords[i]);
}

void
imap_put_flags(struct buf *b, uint16_t flags, bool recent, const struct span *keywords,
               size_t keyword_count)
{
    put_flags(b, flags, keywords, keyword_count);
    if (recent)
        imap_put_word(b, SPAN("\\Recent"));
    buf_put_char(b, ')');
}

// PERMANENTFLAGS: what this session may change, RFC 9051 section 7.1.
static void
put_permanent(const struct imap_session *s, struct buf *b, const struct view_info *v,
              const struct span *keywords, size_t count)
{
    uint16_t flags = 0;
    bool write = !v->read_only && (v->rights & RIGHT_WRITE);
    for (size_t i = 0; i < sizeof system_flags / sizeof *system_flags; i++)
        if (!v->read_only && (v->rights & system_flags[i].right))
            flags |= system_flags[i].flag;
    buf_put_str(b, "* OK [PERMANENTFLAGS ");
    put_flags(b, flags, keywords, write ? count : 0);
    if (write && count < LIMIT_keywords)
        imap_put_word(b, SPAN("\\*"));
    buf_put_str(b, ")] ");
    buf_put_str(b, imap_text(s->language, "Flags that can be changed"));
}

enum result
imap_flags_send(struct imap_session *s, bool permanent, struct arena *a, struct fault *f)
{
    struct span *keywords;
    size_t count;
    struct view_info info;
    if (view_keyword_list(s->view, a, &keywords, &count, f) != R_OK)
        return R_FAIL;
    struct buf *b = imap_line(s);
    buf_put_str(b, "* FLAGS ");
    imap_put_flags(b, FLAG_ALL, false, keywords, count);
    imap_line_send(s);
    if (!permanent)
        return R_OK;
    view_info(s->view, &info);
    put_permanent(s, imap_line(s), &info, keywords, count);
    imap_line_send(s);
    return R_OK;
}

enum result
imap_fetch_flags_send(struct imap_session *s, const struct view_message *m, struct arena *a,
                      struct fault *f)
{
    struct span *keywords;
    size_t count;
    if (view_keywords(s->view, m->row.keywords, a, &keywords, &count, f) != R_OK)
        return R_FAIL;
    bool modseq = imap_enabled(s, ENABLE_CONDSTORE);
    // RFC 5465 section 5.1: UID, once NOTIFY was used
    bool uid = modseq || imap_enabled(s, ENABLE_REV2) || s->notify ||
               (s->command && s->command->uid);
    struct buf *b = imap_line(s);
    imap_put_fetch(s, b, m, uid);
    buf_put_str(b, "FLAGS ");
    imap_put_flags(b, m->row.flags, m->recent && !imap_enabled(s, ENABLE_REV2), keywords,
                   count);
    if (modseq) {
        buf_put_char(b, ' ');
        imap_put_modseq(s, b, m->row.modseq);
    }
    buf_put_char(b, ')');
    imap_line_send(s);
    return R_OK;
}

void
imap_fetch_modseq_send(struct imap_session *s, const struct view_message *m)
{
    struct buf *b = imap_line(s);
    imap_put_fetch(s, b, m, true);
    imap_put_modseq(s, b, m->row.modseq);
    buf_put_char(b, ')');
    imap_line_send(s);
}
