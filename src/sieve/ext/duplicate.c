// RFC 7352: duplicate. What was seen is known outside; the id that is asked for has the handle before it.

#include "base/limits.h"
#include "sieve/ext.h"

enum { SECONDS = 7 * 86400 };

// R_NONE: the message has no such field.
static enum result
value_of(struct sieve_run *r, const struct sieve_call *call, struct span *out)
{
    const struct sieve_value *unique = sieve_tag(call, "uniqueid"),
                             *header = sieve_tag(call, "header");
    struct sieve_fields it;
    struct span name = SPAN("Message-ID");
    if (unique)
        return sieve_one(r, unique, out);
    if (header && sieve_one(r, header, &name) != R_OK)
        return R_FAIL;
    if (sieve_fields_begin(&it, r, call, &name, 1) != R_OK)
        return R_FAIL;
    enum result result = sieve_fields_next(&it, out);
    if (result == R_OK && out->n == 0)
        return R_NONE;  // not one id for all messages that have an empty field
    return result == R_OK ? sieve_decoded(r, *out, out) : result;
}

// "LENGTH:HANDLE" before the value. Without a handle the value alone, behind a colon where it could be taken for the other.
static void
put_handle(struct buf *b, const struct sieve_value *handle, struct span text,
           struct span value)
{
    if (handle)
        buf_printf(b, "%zu:", text.n);
    else if (value.n > 0 && (ascii_is_digit(*value.p) || *value.p == ':'))
        buf_put_char(b, ':');
    buf_put(b, text);
}

static enum result
id_of(struct sieve_run *r, const struct sieve_call *call, struct span value,
      struct span *out)
{
    const struct sieve_value *handle = sieve_tag(call, "handle");
    struct span text = SPAN("");
    struct buf b;
    if (handle && sieve_one(r, handle, &text) != R_OK)
        return R_FAIL;
    buf_init(&b, text.n + value.n + 32);
    put_handle(&b, handle, text, value);
    buf_put(&b, value);
    return sieve_take(r, &b, out);
}

static enum result
duplicate(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    const struct sieve_world *w = sieve_world(r);
    const struct sieve_value *seconds = sieve_tag(call, "seconds");
    struct span value, id;
    enum result result = value_of(r, call, &value);
    if (result != R_OK)
        return result == R_NONE ? R_OK : R_FAIL;
    if (w->duplicate == NULL || (seconds && seconds->number == 0))  // section 3.3
        return R_OK;
    if (id_of(r, call, value, &id) != R_OK || sieve_work(r, 100) != R_OK)
        return R_FAIL;
    uint64_t most = (uint64_t)LIMIT_sieve_vacation_days * 86400;
    uint64_t n = seconds ? seconds->number : SECONDS;
    return w->duplicate(w->arg, id, n < most ? n : most, sieve_tag(call, "last") != NULL,
                        yes);
}

static const struct sieve_command commands[] = {
    {"duplicate", SIEVE_TEST, "", .test = duplicate,
     .tags = {{"handle", 's'},
              {"header", 's', "id"},
              {"uniqueid", 's', "id"},
              {"seconds", 'n'},
              {"last", 0}}},
    {0},
};

const struct sieve_ext sieve_ext_duplicate = {.capability = "duplicate",
                                              .rfc = "RFC 7352",
                                              .commands = commands,
                                              .stages = SIEVE_OF_DELIVERY};  // section 3.4
