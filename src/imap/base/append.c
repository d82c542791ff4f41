#include "imap/flags.h"
#include "imap/list.h"
#include "imap/response.h"

#include "base/limits.h"
#include "mail/intake.h"

// RFC 9051 section 6.3.12; APPENDUID: RFC 4315 section 3; literal8: RFC 3516 section 4.4. The message is streamed
// from the connection to intake. Everything that can refuse it is checked before the literal is asked for.

struct append_args {
    struct imap_flags flags;
    struct date_time date;
    bool has_date;
};

static void
parse_before_literal(struct imap_command *c, struct append_args *a)
{
    struct parse *p = &c->parse;
    parse_sp(p);
    if (parse_peek(p) == '(') {
        imap_parse_flags(p, &a->flags);
        parse_sp(p);
    }
    if (parse_peek(p) == '"') {
        a->date = parse_date_time(p);
        a->has_date = true;
        parse_sp(p);
    }
    parse_stream(p);
}

static enum result
check_size(const struct imap_command *c, struct fault *f)
{
    uint64_t max = mail_size_max(account_mail(c->ref.account));
    if (!c->has_stream)
        return fault_set(f, FAULT_BAD, "message literal expected");
    if (c->stream.size > max)
        return fault_set(f, FAULT_TOOBIG, "message of %llu octets",
                         (unsigned long long)c->stream.size);
    if (c->stream.size == 0)
        return fault_set(f, FAULT_CANNOT, "an empty message");
    return R_OK;
}

// RFC 3501 section 6.3.11: a NUL may come in a literal8 only.
static enum result
write_piece(struct imap_command *c, struct intake *in, struct span piece, struct fault *f)
{
    if (!c->stream.literal8 && memchr(piece.p, '\0', piece.n))
        return fault_set(f, FAULT_BAD, "NUL in a literal");
    return intake_write(in, piece, f);
}

static enum result
receive(struct imap_command *c, struct intake *in, struct fault *f)
{
    struct span piece;
    enum result r;
    imap_stream_accept(c);
    while ((r = imap_stream_read(c, &piece, f)) == R_OK)
        if (write_piece(c, in, piece, f) != R_OK)
            return R_FAIL;
    if (r != R_NONE)
        return R_FAIL;
    if (imap_stream_rest(c, f) != R_OK || parse_end(&c->parse, f) != R_OK)
        return R_FAIL;
    return intake_finish(in, f);
}

static enum result
append_message(struct imap_command *c, const struct append_args *a, struct intake *in,
               struct fault *f)
{
    struct intake_result result;
    struct intake_params p = {.flags = a->flags.flags,
                              .keywords = a->flags.keywords,
                              .keyword_count = a->flags.keyword_count,
                              .has_internal_date = a->has_date,
                              .internal_date = a->date.utc_s,
                              .zone_min = a->date.zone_min};
    if (receive(c, in, f) != R_OK || intake_commit(in, &c->ref, &p, &result, f) != R_OK)
        return R_FAIL;
    // RFC 4315 section 3: no word about a mailbox that may not be read.
    if (c->ref.rights & RIGHT_READ)
        imap_answer(c, "[APPENDUID %u %u] Appended", result.uidvalidity, result.uid);
    if (!imap_name_changed(c, c->name, c->name))
        return R_OK;
    return imap_oldname_send(c, c->name, c->spelled, f);
}

static enum result
append_run(struct imap_command *c, struct fault *f)
{
    struct append_args a = {0};
    parse_before_literal(c, &a);
    if (c->parse.bad)
        return parse_end(&c->parse, f);
    if (check_size(c, f) != R_OK)
        return R_FAIL;
    struct intake *in = intake_begin(account_mail(c->ref.account));
    enum result r = append_message(c, &a, in, f);
    intake_free(&in);
    return r;
}

static const struct imap_verb verbs[] = {
    {"APPEND", ARGS_MAILBOX_MORE, IMAP_ANY, VERB_TRYCREATE, RIGHT_INSERT, append_run},
    {0},
};

const struct imap_ext imap_ext_append = {
    .name = "append",
    .rfc = "RFC 9051 section 6.3.12",
    .verbs = verbs,
};
