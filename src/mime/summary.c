#include "mime/summary.h"
#include "base/limits.h"
#include "base/pack.h"
#include "mime/address.h"
#include "mime/charset.h"
#include "mime/encoded_word.h"
#include "mime/header.h"
#include "mime/message_id.h"
#include "mime/subject.h"

enum { VERSION = 2, FIELDS = 16, FLAG_REPLY = 1, FLAG_DATE = 2 };
// The summary has all of these fields, of which none is there twice or is empty.
enum {
    FLAG_MESSAGE_ID = 4,
    FLAG_IN_REPLY_TO = 8,
    FLAG_REFERENCES = 16,
    FLAG_SENDERS = 32,
    FLAG_RECEIVERS = 64,
    FLAG_SUBJECT = 128
};

static const struct row {
    struct span name;
    enum mime_field field;
    uint8_t flag;
    bool ids;
    size_t at;  // in struct mime_summary
} rows[] = {
#define ROW(name, field, flag, ids, member)                                                \
    {                                                                                      \
        SPAN(name), field, flag, ids, offsetof(struct mime_summary, member)                \
    }
    ROW("Message-ID", MIME_MESSAGE_ID, FLAG_MESSAGE_ID, true, message_id),
    ROW("In-Reply-To", MIME_IN_REPLY_TO, FLAG_IN_REPLY_TO, true, in_reply_to),
    ROW("References", MIME_REFERENCES, FLAG_REFERENCES, true, references),
    ROW("Subject", MIME_SUBJECT, FLAG_SUBJECT, false, subject),
    ROW("From", MIME_FROM, FLAG_SENDERS, false, from),
    ROW("Sender", MIME_SENDER, FLAG_SENDERS, false, sender),
    ROW("Reply-To", MIME_REPLY_TO, FLAG_SENDERS, false, reply_to),
    ROW("To", MIME_TO, FLAG_RECEIVERS, false, to),
    ROW("Cc", MIME_CC, FLAG_RECEIVERS, false, cc),
    ROW("Bcc", MIME_BCC, FLAG_RECEIVERS, false, bcc),
#undef ROW
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static struct span
row_text(const struct mime_summary *s, const struct row *row)
{
    struct span text;
    memcpy(&text, (const char *)s + row->at, sizeof text);
    return text;
}

// As most mailers write them.
static void
put_ids(struct buf *b, struct span ids)
{
    struct span id;
    for (bool more = false; span_next_field(&ids, '\0', &id) == R_OK; more = true) {
        buf_put_str(b, more ? " <" : "<");
        buf_put(b, id);
        buf_put_char(b, '>');
    }
}

size_t
mime_summary_row(struct span name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (span_ieq(rows[i].name, name))
            return i;
    return SIZE_MAX;
}

enum mime_summary_answer
mime_summary_header(const struct mime_summary *s, size_t row, struct buf *text)
{
    if (row >= ROWS || !(s->flags & rows[row].flag))
        return MIME_SUMMARY_UNSURE;
    struct span kept = row_text(s, &rows[row]);
    if (kept.n == 0)
        return MIME_SUMMARY_ABSENT;
    if (rows[row].ids)
        put_ids(text, kept);
    else
        buf_put(text, kept);
    return MIME_SUMMARY_TEXT;
}

// Cuts at a character.
static struct span
cut(struct span utf8, size_t max)
{
    if (utf8.n <= max)
        return utf8;
    size_t n = max;
    while (n > 0 && ((unsigned char)utf8.p[n] & 0xC0) == 0x80)
        n--;
    return span_slice(utf8, 0, n);
}

static void
put_cut(struct buf *b, struct buf *text, size_t max)
{
    pack_span(b, cut(buf_span(text), max));
    buf_reset(text);
}

static void
decode_field(struct buf *text, const struct mime_value *value)
{
    bool first = true;

    for (; value && text->n < LIMIT_mime_summary; value = value->next) {
        if (!first)
            buf_put(text, SPAN(", "));
        first = false;
        mime_decode_words(text, value->text);
    }
}

// Decoded, tabs and runs of white space as one space (RFC 5256 section 2.1 step 1).
static void
decode_subject(struct buf *text, struct span value)
{
    struct buf raw;
    bool space = false;

    buf_init(&raw, text->max);
    mime_decode_words(&raw, value);
    for (size_t i = 0; i < raw.n; i++) {
        if (ascii_is_space(raw.p[i])) {
            space = text->n > 0;
            continue;
        }
        if (space)
            buf_put_char(text, ' ');
        space = false;
        buf_put_char(text, raw.p[i]);
    }
    buf_done(&raw);
}

void
mime_summary_value(struct buf *text, bool subject, struct span raw)
{
    struct buf unfolded;

    buf_init(&unfolded, LIMIT_mime_header);
    mime_header_unfold(&unfolded, span_slice(raw, 0, LIMIT_mime_header));
    if (subject)
        decode_subject(text, buf_span(&unfolded));
    else
        mime_decode_words(text, buf_span(&unfolded));
    buf_done(&unfolded);
}

bool
mime_summary_cut(struct span field)
{
    size_t values = 1;

    if (field.n + 4 > LIMIT_mime_summary)  // cut at a character
        return true;
    if (field.n < 2 * (LIMIT_mime_repeats - 1))  // so many do not fit
        return false;
    for (size_t i = 1; i < field.n; i++)
        values += field.p[i] == ' ' && field.p[i - 1] == ',';
    return values >= LIMIT_mime_repeats;
}

static const struct mime_address *
first_address(struct arena *a, const struct mime_value *value)
{
    const struct mime_address *address = NULL;

    for (; value && !address; value = value->next)
        address = mime_address_parse(a, value->text);
    return address;
}

static void
put_sort_address(struct buf *b, struct buf *text, const struct mime_address *address,
                 size_t max)
{
    if (address)
        mime_utf8_clean(text, address->mailbox);
    put_cut(b, text, max);
}

// A name as ENVELOPE has it (single spaces, none at the ends), decoded.
static void
decode_name(struct buf *text, struct span name)
{
    struct buf raw;
    bool space = false;

    buf_init(&raw, LIMIT_mime_header);
    for (size_t i = 0; i < name.n; i++) {
        bool white = ascii_is_space(name.p[i]);
        if (!white && space && raw.n > 0)
            buf_put_char(&raw, ' ');
        if (!white)
            buf_put_char(&raw, name.p[i]);
        space = white;
    }
    mime_decode_words(text, buf_span(&raw));
    buf_done(&raw);
}

// RFC 5957 section 3: the display name when it says anything, else mailbox@host; of a group its name.
static void
put_display(struct buf *b, struct buf *text, const struct mime_address *address, size_t max)
{
    if (address)
        decode_name(text, address->name);
    if (address && text->n == 0 && address->kind == MIME_GROUP_START) {
        mime_decode_words(text, address->mailbox);
    } else if (address && text->n == 0) {
        mime_utf8_clean(text, address->mailbox);
        buf_put_char(text, '@');
        mime_utf8_clean(text, address->host);
    }
    put_cut(b, text, max);
}

static struct span
last_text(const struct mime_value *value)
{
    while (value && value->next)
        value = value->next;
    return value ? value->text : SPAN_NONE;
}

// What has no id in brackets is its own id: a Message-ID without brackets is referred to with them.
static void
put_message_id(struct buf *b, struct buf *text, struct span value)
{
    struct mime_message_ids ids = {.rest = value};
    if (!mime_message_id_next(&ids, text))
        buf_put(text, span_trim(value));
    put_cut(b, text, LIMIT_mime_summary);
}

// The first one that is valid (RFC 5256 section 3); else the first one at all.
static void
put_in_reply_to(struct buf *b, struct buf *text, struct span value)
{
    struct mime_message_ids ids = {.rest = value};
    size_t first = 0, begin = 0;
    while (mime_message_id_next(&ids, text)) {
        if (mime_message_id_valid(span_skip(buf_span(text), begin))) {
            pack_span(b, cut(span_skip(buf_span(text), begin), LIMIT_mime_summary));
            buf_reset(text);
            return;
        }
        first = first > 0 ? first : text->n;
        text->n = begin = first;
    }
    put_cut(b, text, LIMIT_mime_summary);
}

// Of too many ids the first one and the last ones stay.
static void
cut_references(struct buf *ids)
{
    struct span all = buf_span(ids);
    size_t first = span_find_char(all, '\0') + 1;
    if (all.n <= LIMIT_mime_references)
        return;
    if (first > LIMIT_mime_references / 2)
        first = 0;
    struct span last = span_skip(all, all.n - (LIMIT_mime_references - first));
    last = span_skip(last, span_find_char(last, '\0') + 1);
    memmove(ids->p + first, last.p, last.n);
    ids->n = first + last.n;
}

static void
put_references(struct buf *b, struct buf *text, struct span value)
{
    struct mime_message_ids ids = {.rest = value};
    size_t end = 0;
    while (mime_message_id_next(&ids, text)) {
        end = text->n;
        buf_put_char(text, '\0');
    }
    text->n = end;
    cut_references(text);
    pack_span(b, buf_span(text));
    buf_reset(text);
}

static void
put_date(struct buf *b, const struct mime_date *date)
{
    pack_u64(b, (uint64_t)date->utc_s);
    pack_u32(b, (uint32_t)date->local_day);
    pack_u16(b, (uint16_t)date->zone_min);
}

static void
put_head(struct buf *b, struct buf *fields, struct buf *text, const struct mime_envelope *e,
         size_t max)
{
    struct mime_date date = {0};
    bool dated = mime_date_parse(last_text(e->field[MIME_DATE]), &date) == R_OK;
    bool reply;

    decode_subject(text, last_text(e->field[MIME_SUBJECT]));
    struct span subject = cut(buf_span(text), max);
    struct span base = mime_subject_base(subject, &reply);
    pack_u8(b, VERSION);
    pack_u8(b, (dated ? FLAG_DATE : 0) | (reply ? FLAG_REPLY : 0));
    put_date(b, &date);
    pack_span(fields, subject);
    pack_span(fields, base);
    buf_reset(text);
}

// The lengths of all fields first, so that reading one does not touch the others.
static void
put_fields(struct buf *b, const struct buf *packed)
{
    struct unpack lengths = unpack_of(buf_span(packed)), texts = lengths;
    for (size_t i = 0; i < FIELDS; i++)
        pack_var(b, unpack_span(&lengths).n);
    for (size_t i = 0; i < FIELDS; i++)
        buf_put(b, unpack_span(&texts));
    must(unpack_end(&lengths) == R_OK);
}

static void
put_addresses(struct buf *b, struct buf *text, const struct mime_envelope *e, size_t max)
{
    struct arena *a = arena_new();
    const struct mime_address *from = first_address(a, e->field[MIME_FROM]);
    const struct mime_address *to = first_address(a, e->field[MIME_TO]);

    put_sort_address(b, text, from, max);
    put_sort_address(b, text, to, max);
    put_sort_address(b, text, first_address(a, e->field[MIME_CC]), max);
    put_display(b, text, from, max);
    put_display(b, text, to, max);
    arena_free(&a);
}

static void
put_summary(struct buf *b, const struct mime_part *root, size_t max)
{
    static const enum mime_field fields[] = {MIME_FROM, MIME_TO,     MIME_CC,
                                             MIME_BCC,  MIME_SENDER, MIME_REPLY_TO};
    const struct mime_envelope *e = root->envelope;
    struct buf text, packed;

    buf_init(&text, (size_t)LIMIT_mime_header * 4);
    buf_init(&packed, max * FIELDS * 2);
    put_head(b, &packed, &text, e, max);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        decode_field(&text, e->field[fields[i]]);
        put_cut(&packed, &text, LIMIT_mime_summary);
    }
    put_addresses(&packed, &text, e, max);
    put_message_id(&packed, &text, last_text(e->field[MIME_MESSAGE_ID]));
    put_in_reply_to(&packed, &text, last_text(e->field[MIME_IN_REPLY_TO]));
    put_references(&packed, &text, last_text(e->field[MIME_REFERENCES]));
    put_fields(b, &packed);
    buf_done(&packed);
    buf_done(&text);
}

static struct span
take(struct unpack *u, uint64_t n)
{
    if (u->bad || n > u->rest.n) {
        u->bad = true;
        return SPAN_NONE;
    }
    struct span s = span_of(u->rest.p, (size_t)n);
    u->rest = span_of(s.p + s.n, u->rest.n - s.n);
    return s;
}

enum result
mime_summary_get(struct span packed, struct mime_summary *out, struct fault *f)
{
    struct unpack u = unpack_of(packed);
    struct span *const spans[FIELDS] = {
        &out->subject,    &out->base_subject, &out->from,        &out->to,
        &out->cc,         &out->bcc,          &out->sender,      &out->reply_to,
        &out->sort_from,  &out->sort_to,      &out->sort_cc,     &out->display_from,
        &out->display_to, &out->message_id,   &out->in_reply_to, &out->references};
    uint64_t n[FIELDS];

    uint8_t version = unpack_u8(&u), flags = unpack_u8(&u);
    out->flags = flags;
    out->has_date = flags & FLAG_DATE;
    out->reply_or_forward = flags & FLAG_REPLY;
    out->date.utc_s = (int64_t)unpack_u64(&u);
    out->date.local_day = (int32_t)unpack_u32(&u);
    out->date.zone_min = (int16_t)unpack_u16(&u);
    for (size_t i = 0; i < FIELDS; i++)
        n[i] = unpack_var(&u);
    for (size_t i = 0; i < FIELDS; i++)
        *spans[i] = take(&u, n[i]);
    if (unpack_end(&u) != R_OK || version != VERSION)
        return fault_set(f, FAULT_CORRUPTION, "MIME summary is damaged");
    return R_OK;
}

// Is what the summary would tell of the field what the header says? By way of the two buffers.
static bool
is_whole(const struct mime_summary *s, size_t row, const struct mime_value *value,
         struct buf *told, struct buf *said)
{
    if (!value)
        return true;
    if (value->next || value->text.n > LIMIT_mime_references)
        return false;
    buf_reset(told);
    buf_reset(said);
    mime_decode_words(said, span_trim(value->text));
    return mime_summary_header(s, row, told) == MIME_SUMMARY_TEXT &&
           span_eq(buf_span(told), buf_span(said));
}

static uint8_t
whole_flags(struct span packed, const struct mime_envelope *e)
{
    struct mime_summary s;
    struct fault f;
    struct buf told, said;
    unsigned flags = 0, broken = 0;

    if (e->strange)
        return 0;
    must(mime_summary_get(packed, &s, &f) == R_OK);
    buf_init(&told, (size_t)LIMIT_mime_references * 4);
    buf_init(&said, (size_t)LIMIT_mime_references * 4);
    for (size_t i = 0; i < ROWS; i++) {
        s.flags = rows[i].flag;
        flags |= rows[i].flag;
        if (!is_whole(&s, i, e->field[rows[i].field], &told, &said))
            broken |= rows[i].flag;
    }
    buf_done(&told);
    buf_done(&said);
    return (uint8_t)(flags & ~broken);
}

void
mime_summary_put(struct buf *b, const struct mime_part *root)
{
    size_t begin = b->n;
    put_summary(b, root, LIMIT_mime_summary);
    if (!b->over)
        b->p[begin + 1] |= (char)whole_flags(span_skip(buf_span(b), begin), root->envelope);
}

enum result
mime_summary_whole(struct arena *a, struct span header, struct mime_summary *out,
                   struct fault *f)
{
    struct mime_scan *scan = mime_scan_new(a);
    struct buf b;
    buf_init(&b, (size_t)LIMIT_mime_header * 4 * FIELDS);
    mime_scan_feed(scan, header);
    put_summary(&b, mime_scan_end(scan), (size_t)LIMIT_mime_header * 4);
    struct span packed = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return mime_summary_get(packed, out, f);
}
