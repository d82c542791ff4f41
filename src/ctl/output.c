#include "ctl/output.h"
#include <errno.h>

static bool as_json;

void
output_open(bool json)
{
    as_json = json;
}

bool
output_is_json(void)
{
    return as_json;
}

static void
put_text(struct buf *b, struct span event, const struct field *fields, size_t n)
{
    fields_text(b, event, fields, n);
    if (b->n > 0)
        buf_put_char(b, '\n');
}

// A row without a name in it is for people only.
static void
put_json(struct buf *b, struct span type, const struct field *fields, size_t n)
{
    const struct field head = {.kind = FIELD_TEXT, .name = SPAN("type"), .text = type};
    buf_put_char(b, '{');
    fields_json(b, &head, 1, NULL);
    size_t bare = b->n;
    fields_json(b, fields, n, NULL);
    if (b->n == bare)
        buf_reset(b);
    else
        buf_put_str(b, "}\n");
}

static void
print(FILE *file, struct span type, struct span event, const struct field *fields, size_t n)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    if (as_json)
        put_json(&b, type, fields, n);
    else
        put_text(&b, event, fields, n);
    if (b.n > 0)
        (void)!fwrite(b.p, 1, b.n, file);  // output_close asks
    buf_done(&b);
}

void
output_row(const char *type, const struct field *fields, size_t n)
{
    print(stdout, span_str(type), SPAN_NONE, fields, n);
}

void
output_note(const char *type, const struct field *fields, size_t n)
{
    print(stderr, span_str(type), SPAN_NONE, fields, n);
}

void
output_foreign(const struct field_row *row, bool note)
{
    print(note ? stderr : stdout, row->type, row->event, row->fields, row->n);
}

static const char message_style[] = "posthorn: %";

int
output_fault(const struct fault *f, int code)
{
    output_note("error", FIELDS(field_str("code", "", fault_info(f->kind)->name),
                                field_str("message", message_style, f->why),
                                field_number("exit", "", (uint64_t)code)));
    return code;
}

int
output_close(int code)
{
    struct fault f;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fault_errno(&f, FAULT_DISK, "standard output");
    return output_fault(&f, 1);
}
