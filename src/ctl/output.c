#include "ctl/output.h"
#include "base/utf8.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool as_json;
static FILE *report;  // NULL: none is wanted

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

enum result
output_report(const char *path, struct fault *f)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    report = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (report == NULL && fd >= 0)
        close(fd);
    return report != NULL ? R_OK : fault_errno(f, FAULT_DISK, path);
}

// Much of it was strangers' text, and goes to a terminal.
static void
put_text(struct buf *b, struct span event, const struct field *fields, size_t n)
{
    struct buf said;
    buf_init(&said, SIZE_MAX);
    fields_text(&said, event, fields, n);
    if (said.n > 0)
        buf_put_char(&said, '\n');
    utf8_put_visible(b, buf_span(&said), "\n\t", SIZE_MAX);
    buf_done(&said);
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
write_to(FILE *file, const struct buf *b)
{
    if (b->n > 0)
        (void)!fwrite(b->p, 1, b->n, file);  // output_close asks
}

static void
print(FILE *file, struct span type, struct span event, const struct field *fields, size_t n)
{
    struct buf json, text;
    buf_init(&json, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    if (as_json || report != NULL)
        put_json(&json, type, fields, n);
    if (!as_json)
        put_text(&text, event, fields, n);
    write_to(file, as_json ? &json : &text);
    if (report != NULL)
        write_to(report, &json);
    buf_done(&text);
    buf_done(&json);
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

static int
close_report(int code)
{
    struct fault f;
    FILE *file = report;
    report = NULL;
    bool good = fflush(file) == 0 && !ferror(file) && fsync(fileno(file)) == 0;
    fault_errno(&f, FAULT_DISK, "the report");
    if (fclose(file) != 0 && good) {
        good = false;
        fault_errno(&f, FAULT_DISK, "the report");
    }
    return good ? code : output_fault(&f, 1);
}

int
output_close(int code)
{
    struct fault f;
    if (report != NULL)
        code = close_report(code);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fault_errno(&f, FAULT_DISK, "standard output");
    return output_fault(&f, 1);
}
