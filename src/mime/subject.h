#ifndef MIME_SUBJECT_H
#define MIME_SUBJECT_H

// The base subject of RFC 5256 section 2.1. Private to this folder. Linear.
// Trust: none.

#include "base/span.h"

// `subject` is decoded and has single spaces. The base is a part of it; *reply_out: something
// was removed that says reply or forward.
struct span mime_subject_base(struct span subject, bool *reply_out);

#endif
