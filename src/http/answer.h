#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

// What is answered to which path.

#include "http/server.h"

struct http_question {
    bool post;
    struct span path;   // without the query
    struct span query;  // behind "?"
    struct span host;   // of the field Host
    struct span body;
    bool admin;   // from a network of the administrator's
    bool broken;  // it is no request, whatever it asks for
};

struct http_answer {
    int status;
    const char *type;   // of the body
    const char *allow;  // with 405
    struct buf body;
};

void http_answer(const struct http_options *o, const struct http_question *q,
                 struct http_answer *a);

#endif
