#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

// What the command process says: rows of fields (base/field.h) to standard output, notes and errors to standard
// error, each as one line of text or, after --json, as one JSON object on a line: {"type":"mailbox","name":...}.
// The only place that prints.
// Owner: the process. Threads: one.

#include "base/field.h"

void output_open(bool json);
bool output_is_json(void);
// All that is said goes to this file too (made anew, for its owner alone), as JSON; it is on disk when output_close returns 0.
enum result output_report(const char *path, struct fault *f) MUST_CHECK;

void output_row(const char *type, const struct field *fields, size_t n);
// a row on standard error
void output_note(const char *type, const struct field *fields, size_t n);
// A row that came from another process.
void output_foreign(const struct field_row *row, bool note);
// Says what failed, in JSON {"type":"error","code":KIND,"message":...,"exit":CODE}; returns `code`.
int output_fault(const struct fault *f, int code);
// The end of the process: `code`, or 1 where standard output could not be written.
int output_close(int code);

#endif
