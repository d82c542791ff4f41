#ifndef MIME_PARAM_H
#define MIME_PARAM_H

// Parameters of Content-Type and Content-Disposition (RFC 2045 section 5.1) with the pieces of
// RFC 2231 joined: name*0*, name*1 become one parameter name* whose value is
// charset'language'text, still escaped. Private to this folder. Linear (one sort); at most
// LIMIT_mime_params.
// Trust: none.
// Owner: the arena.

#include "mime/scan.h"
#include "mime/token.h"

struct mime_param *mime_param_parse(struct arena *a, struct mime_lex *l);

#endif
