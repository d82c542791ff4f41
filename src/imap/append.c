#include "imap/append.h"

#include "base/arena_grow.h"
#include "base/limits.h"
#include "imap/appendlimit.h"
#include "imap/event.h"
#include "imap/flags.h"
#include "imap/messagelimit.h"
#include "io/task.h"

#include <stdatomic.h>

static atomic_bool refuse_8bit;

void
imap_append_8bit_refuse(bool refuse)
{
    refuse_8bit = refuse;
}

void
imap_append_init(struct imap_append *a, struct imap_command *c)
{
    *a = (struct imap_append){.c = c, .size_max = imap_appendlimit_of(&c->ref)};
}

void
imap_append_done(struct imap_append *a)
{
    intake_free(&a->in);
    for (size_t i = 0; i < a->count; i++) {
        intake_free(&a->items[i].intake);
        task_yield();
    }
    a->count = 0;
}

enum result
imap_append_room(const struct imap_append *a, uint64_t octets, struct fault *f)
{
    uint64_t max = a->size_max, have = intake_size(a->in);
    if (octets > max || have > max - octets)
        return fault_set(f, FAULT_TOOBIG, "message of more than %llu octets",
                         (unsigned long long)max);
    if (a->octets + have + octets > LIMIT_append_octets)
        return fault_set(f, FAULT_LIMIT, "messages of more than %llu octets",
                         (unsigned long long)LIMIT_append_octets);
    return R_OK;
}

// Are there octets over 127 before the first empty line?
static bool
has_8bit_header(struct imap_append *a, struct span s)
{
    for (size_t i = 0; i < s.n && !a->header_ended; i++) {
        char c = s.p[i];
        if ((unsigned char)c > 0x7F)
            return true;
        if (c == '\n' && a->line_empty)
            a->header_ended = true;
        a->line_empty = c == '\n' || (c == '\r' && a->line_empty);
    }
    return false;
}

enum result
imap_append_write(struct imap_append *a, struct span octets, struct fault *f)
{
    if (a->watch_header && has_8bit_header(a, octets))
        return fault_set(f, FAULT_CANNOT, "8-bit header without UTF8=ACCEPT");
    return intake_write(a->in, octets, f);
}

// RFC 3501 section 6.3.11: a NUL may come in a literal8 only.
static enum result
write_piece(struct imap_append *a, struct span piece, struct fault *f)
{
    if (!a->c->stream.literal8 && memchr(piece.p, '\0', piece.n))
        return fault_set(f, FAULT_BAD, "NUL in a literal");
    return imap_append_write(a, piece, f);
}

// A large message that does not fit is refused before it is asked for. What REPLACE takes away is not known yet.
static enum result
fits_quota(const struct imap_append *a, uint64_t octets, struct fault *f)
{
    const struct imap_command *c = a->c;
    if (octets < LIMIT_intake_inline || (c->verb->flags & VERB_CHANGES))
        return R_OK;
    return quota_fits(c->ref.account, a->octets + octets, false, f);
}

enum result
imap_append_literal(struct imap_append *a, struct fault *f)
{
    struct imap_command *c = a->c;
    struct span piece;
    enum result r;
    parse_stream(&c->parse);
    if (c->parse.bad)
        return parse_end(&c->parse, f);
    if (!c->has_stream)
        return fault_set(f, FAULT_BAD, "message literal expected");
    if (imap_append_room(a, c->stream.size, f) != R_OK ||
        fits_quota(a, c->stream.size, f) != R_OK)
        return R_FAIL;
    imap_stream_accept(c);
    while ((r = imap_stream_read(c, &piece, f)) == R_OK)
        if (write_piece(a, piece, f) != R_OK)
            return R_FAIL;
    return r == R_NONE ? imap_stream_rest(c, f) : R_FAIL;
}

// A zero-length literal cancels the command (RFC 3502), before it is asked for.
static enum result
receive_data(struct imap_append *a, struct fault *f)
{
    struct imap_command *c = a->c;
    struct parse *p = &c->parse;
    char next = parse_peek(p);
    if (p->bad)
        return parse_end(p, f);
    if (next == '{' || next == '~') {
        if (c->has_stream && c->stream.size == 0)
            return fault_set(f, FAULT_CANNOT, "an empty message");
        return imap_append_literal(a, f);
    }
    const struct imap_word *w = imap_word_find(SLOT_APPEND, parse_atom(p));
    if (p->bad)
        return parse_end(p, f);
    if (!w)
        return fault_set(f, FAULT_BAD, "message literal expected");
    return w->as.append->receive(a, f);
}

static void
parse_before_data(struct imap_append *a, struct intake_params *out)
{
    struct parse *p = &a->c->parse;
    struct imap_flags flags = {0};
    parse_sp(p);
    if (parse_peek(p) == '(') {
        imap_parse_flags(p, &flags);
        parse_sp(p);
    }
    *out = (struct intake_params){.flags = flags.flags,
                                  .keywords = flags.keywords,
                                  .keyword_count = flags.keyword_count};
    a->keywords += flags.keyword_count;
    if (a->keywords > LIMIT_list_items)
        parse_fail_kind(p, FAULT_LIMIT, "too many keywords");
    if (parse_peek(p) != '"')
        return;
    struct date_time date = parse_date_time(p);
    out->has_internal_date = true;
    out->internal_date = date.utc_s;
    out->zone_min = date.zone_min;
    parse_sp(p);
}

static void
item_add(struct imap_append *a, const struct intake_params *params)
{
    a->items = arena_grow(a->c->arena, a->items, a->count, &a->room, sizeof *a->items);
    a->items[a->count++] = (struct intake_item){a->in, *params};
    a->in = NULL;
}

// The message is whole. When others follow it, what its scan took is given back.
static enum result
message_end(struct imap_append *a, const struct intake_params *params, struct fault *f)
{
    uint64_t size = intake_size(a->in);
    if (size == 0)
        return fault_set(f, FAULT_CANNOT, "an empty message");
    a->octets += size;
    if (size <= LIMIT_intake_inline)
        a->octets_inline += size;
    if (intake_finish(a->in, f) != R_OK)
        return R_FAIL;
    bool more = a->count > 0 || !parse_at_end(&a->c->parse);
    if (more && intake_pack(a->in, f) != R_OK)
        return R_FAIL;
    item_add(a, params);
    return R_OK;
}

enum result
imap_append_message(struct imap_append *a, struct fault *f)
{
    struct intake_params params;
    if (a->count == LIMIT_append_messages)
        return fault_set(f, FAULT_LIMIT, "too many messages in one command");
    if (imap_limit_append(a->c, a->count + 1, f) != R_OK)
        return R_FAIL;
    parse_before_data(a, &params);
    a->in = intake_begin(account_mail(a->c->ref.account));
    a->watch_header = refuse_8bit && !imap_utf8(a->c->session);
    a->header_ended = false;
    a->line_empty = true;
    if (a->octets_inline > LIMIT_append_inline)
        intake_spill(a->in);
    if (receive_data(a, f) != R_OK || message_end(a, &params, f) != R_OK)
        return R_FAIL;
    task_yield();  // the next one may lie in the input already
    return R_OK;
}

void
imap_append_put_uids(const struct imap_append *a, const struct intake_result *done,
                     struct buf *b)
{
    if (!(a->c->ref.rights & RIGHT_READ))
        return;
    buf_printf(b, "[APPENDUID %u %u", done[0].uidvalidity, done[0].uid);
    if (a->count > 1)
        buf_printf(b, ":%u", done[a->count - 1].uid);
    buf_put_str(b, "] ");
}

void
imap_append_event(const struct imap_append *a, const struct intake_result *done)
{
    struct filter_stored *event = imap_event_begin(a->c, &a->c->ref, FILTER_APPEND, NULL);
    struct seqset uids;
    seqset_init(&uids, a->c->arena);
    for (size_t i = 0; i < a->count; i++)
        seqset_add(&uids, done[i].uid);
    imap_event_end(a->c, &event, &uids);
}
