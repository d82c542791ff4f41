#ifndef BASE_FIELD_H
#define BASE_FIELD_H

// A field is one named fact, given once: a line of text and a JSON object are both made from it. The log and the
// verbs' output speak in fields.
// `style` is how the text form shows it: '%' stands for the value, "@17" at its front goes to column 17 first, "@17>" breaks
// lines of 80 octets, too, and lets them go on there. A style that begins with a letter gets its separator by itself (": " before the first behind an event, then ", ");
// any other begins as it is written; an empty one is not shown. A field without a name is shown in the text only.
// Owner: values are borrowed. Trust: values may be any bytes; names and styles are ours.

#include "base/buf.h"

enum field_kind {
    FIELD_ABSENT,  // not there, in either form
    FIELD_TEXT,
    FIELD_NUMBER,
    FIELD_ID,    // 16 hexadecimal digits, in JSON a string
    FIELD_FLAG,  // shown in the text only when it is true; style has no '%'
    FIELD_LIST,  // packed spans; a space between them, in JSON an array
    FIELD_KINDS
};

struct field {
    enum field_kind kind;
    struct span name, style;
    struct span text;
    uint64_t number;
};

static inline struct field
field_text(const char *name, const char *style, struct span value)
{
    return (struct field){FIELD_TEXT, span_str(name), span_str(style), value, 0};
}
static inline struct field
field_str(const char *name, const char *style, const char *value)
{
    return field_text(name, style, span_str(value));
}
static inline struct field
field_number(const char *name, const char *style, uint64_t value)
{
    return (struct field){FIELD_NUMBER, span_str(name), span_str(style), SPAN_NONE, value};
}
static inline struct field
field_id(const char *name, const char *style, uint64_t value)
{
    return (struct field){FIELD_ID, span_str(name), span_str(style), SPAN_NONE, value};
}
static inline struct field
field_flag(const char *name, const char *style, bool value)
{
    return (struct field){FIELD_FLAG, span_str(name), span_str(style), SPAN_NONE, value};
}
static inline struct field
field_list(const char *name, const char *style, struct span packed)
{
    return (struct field){FIELD_LIST, span_str(name), span_str(style), packed, 0};
}
static inline struct field
field_if(bool there, struct field f)
{
    f.kind = there ? f.kind : FIELD_ABSENT;
    return f;
}

// For calls that end with (fields, n): log_put(..., FIELDS(a, b)).
#define FIELD_ARRAY(...)                                                                   \
    (const struct field[])                                                                 \
    {                                                                                      \
        {.kind = FIELD_ABSENT}, ##__VA_ARGS__                                              \
    }
#define FIELDS(...)                                                                        \
    FIELD_ARRAY(__VA_ARGS__), sizeof(FIELD_ARRAY(__VA_ARGS__)) / sizeof(struct field)

// Appends the event and the fields as text, without an end of line.
void fields_text(struct buf *b, struct span event, const struct field *fields, size_t n);
// Octets that b may hold in all, and that one text may take; NULL where there is no bound.
struct field_room {
    size_t all, value;
};
// Appends `,"name":value` for each field, or without the comma behind a '{'. Texts are cut and fields left out to keep
// within `room`, then false.
bool fields_json(struct buf *b, const struct field *fields, size_t n,
                 const struct field_room *room);

// Rows of fields on their way between processes: a type, the row's event, the fields. field_get borrows from the
// input and takes one row off its front.
enum { FIELDS_MAX = 32 };
struct field_row {
    struct span type, event;
    struct field fields[FIELDS_MAX];
    size_t n;
};
void field_put_row(struct buf *b, struct span type, struct span event,
                   const struct field *fields, size_t n);
enum result field_get_row(struct span *rest, struct field_row *out) MUST_CHECK;

#endif
