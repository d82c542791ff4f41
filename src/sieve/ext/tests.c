// RFC 5228 section 5: the tests of the base language.

#include "sieve/message.h"
#include "sieve/compile.h"
#include "sieve/parts.h"
#include "mime/address.h"

static enum result
emit_set(struct sieve_compiler *c, const struct sieve_node *node, size_t value)
{
    return sieve_emit(
        c, (struct sieve_instruction){.op = OP_SET, .line = node->line, .target = value});
}

static enum result
emit_constant(struct sieve_compiler *c, const struct sieve_node *node,
              struct sieve_call *call)
{
    if (node->tests)
        return sieve_wrong(c, call->line, call->column, "%s takes no test",
                           call->command->name);
    return emit_set(c, node, span_ieq(node->name, SPAN("true")));
}

static enum result
emit_not(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    enum sieve_known known;
    size_t from = c->code.n;
    if (node->tests == NULL || node->test_list)
        return sieve_wrong(c, call->line, call->column, "not needs one test");
    if (sieve_compile_test(c, node->tests, &known) != R_OK)
        return R_FAIL;
    if (known == KNOWN_NOT)
        return sieve_emit(c, (struct sieve_instruction){.op = OP_NOT, .line = node->line});
    c->code.n = from;
    return emit_set(c, node, known == KNOWN_FALSE);
}

static void
land_all(struct sieve_compiler *c, const struct buf *jumps)
{
    for (size_t i = 0; i < jumps->n / sizeof(size_t); i++)
        sieve_land(c, ((const size_t *)(const void *)jumps->p)[i]);
}

// One after the other, until one decides. What is known before changes nothing, or is the last of them.
static enum result
emit_tests(struct sieve_compiler *c, const struct sieve_node *node, bool any,
           struct buf *jumps, bool *decided)
{
    enum sieve_known known, deciding = any ? KNOWN_TRUE : KNOWN_FALSE;
    enum sieve_op op = any ? OP_JUMP_TRUE : OP_JUMP_FALSE;
    for (const struct sieve_node *t = node->tests; t && !(*decided && c->late);
         t = t->next) {
        size_t before = c->code.n;
        if (sieve_compile_test(c, t, &known) != R_OK)
            return R_FAIL;
        if (*decided || (known != KNOWN_NOT && known != deciding)) {
            c->code.n = before;
            continue;
        }
        *decided = known == deciding;
        size_t jump = sieve_here(c);
        buf_put(jumps, span_of(&jump, sizeof jump));
        if (sieve_emit(c, (struct sieve_instruction){.op = op, .line = t->line}) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
emit_list(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call,
          bool any)
{
    struct buf jumps;
    bool decided = false;
    size_t from = c->code.n;
    if (node->tests == NULL || !node->test_list)
        return sieve_wrong(c, call->line, call->column,
                           "%s needs a list of tests in parentheses", call->command->name);
    buf_init(&jumps, LIMIT_sieve_nodes * sizeof(size_t));
    enum result r = emit_tests(c, node, any, &jumps, &decided);
    size_t n = jumps.n / sizeof(size_t);
    if (r == R_OK && n <= (decided ? 1 : 0)) {
        c->code.n = from;
        r = emit_set(c, node, decided == any);
    } else if (r == R_OK) {
        land_all(c, &jumps);
    }
    buf_done(&jumps);
    return r;
}

static enum result
emit_allof(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    return emit_list(c, node, call, false);
}

static enum result
emit_anyof(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    return emit_list(c, node, call, true);
}

static enum result
feed_decoded(struct sieve_matching *m, struct span value)
{
    return sieve_decoded(m->run, value, &value) == R_OK ? sieve_match_feed(m, value)
                                                        : R_FAIL;
}

static enum result
header(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct sieve_fields it;
    struct span *names, value;
    if (sieve_match_begin(&m, r, call, &call->position[1]) != R_OK ||
        sieve_texts(r, &call->position[0], &names) != R_OK ||
        sieve_fields_begin(&it, r, call, names, call->position[0].n) != R_OK)
        return R_FAIL;
    enum result result = R_OK;
    while (result == R_OK && !m.found) {
        result = sieve_fields_next(&it, &value);
        if (result == R_OK && sieve_mime_option(call))
            result = sieve_mime_feed(&m, it.all[it.at - 1].name, value);
        else if (result == R_OK)
            result = feed_decoded(&m, value);
    }
    return result == R_FAIL ? R_FAIL : sieve_match_end(&m, yes);
}

static enum result
exists(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_fields it;
    struct span *names;
    if (sieve_texts(r, &call->position[0], &names) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[0].n; i++) {
        if (sieve_fields_begin(&it, r, call, &names[i], 1) != R_OK)
            return R_FAIL;
        if (it.at >= it.end)
            return R_OK;
    }
    *yes = true;
    return R_OK;
}

static enum result
check_size(struct sieve_compiler *c, struct sieve_call *call)
{
    if (call->tags == NULL)
        return sieve_wrong(c, call->line, call->column, "size needs :over or :under");
    return R_OK;
}

static enum result
size(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    const struct mime_part *root = sieve_part_root(r);
    uint64_t limit = call->position[0].number, n = sieve_message(r)->size;
    if (root != sieve_message(r)->root)
        n = root->header.size + root->body.size;
    *yes = sieve_tag(call, "over") ? n > limit : n < limit;
    return R_OK;
}

// RFC 5228 section 5.1: only fields that have addresses.
static bool
has_addresses(struct span name)
{
    static const char *const names[] = {"From",
                                        "To",
                                        "Cc",
                                        "Bcc",
                                        "Sender",
                                        "Reply-To",
                                        "Resent-From",
                                        "Resent-To",
                                        "Resent-Cc",
                                        "Resent-Bcc",
                                        "Resent-Sender",
                                        "Resent-Reply-To",
                                        "Return-Path",
                                        "Delivered-To",
                                        "Envelope-To",
                                        "X-Original-To",
                                        "X-Envelope-To",
                                        "Errors-To",
                                        "Apparently-To",
                                        "Mail-Followup-To",
                                        "Mail-Reply-To",
                                        "Original-To",
                                        "For-Approval",
                                        "For-Comment",
                                        "For-Handling",
                                        "Original-Recipient",
                                        "Disposition-Notification-To",
                                        "Abuse-Reports-To",
                                        "X-Complaints-To",
                                        "Approved",
                                        "Delivered-From",
                                        "X-Delivered-To",
                                        "X-Envelope-From",
                                        "Return-Receipt-To"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_ieq(name, span_str(names[i])))
            return true;
    return false;
}

static enum result
check_address(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    for (size_t i = 0; i < v->n; i++)
        if (sieve_is_constant(&v->strings[i]) && !sieve_tag(call, "mime") &&
            !has_addresses(v->strings[i].text))
            return sieve_wrong(c, v->line, v->column, "%.*s is no field with addresses",
                               SPAN_ARG(span_slice(v->strings[i].text, 0, 60)));
    return R_OK;
}

static enum result
feed_addresses(struct sieve_run *r, const struct sieve_call *call, struct span value,
               struct sieve_matching *m)
{
    struct span text;
    if (sieve_room(r, value.n * 8) != R_OK || sieve_work(r, value.n) != R_OK)
        return R_FAIL;
    const struct mime_address *a = mime_address_parse(sieve_scratch(r), value);
    for (; a && !m->found; a = a->next) {
        if (a->kind != MIME_ADDRESS || a->mailbox.p == NULL)
            continue;
        struct span host = sieve_host(a->host);
        if (host.n == 0 && call->part->part != sieve_ext_match.parts[0].part)
            continue;  // section 2.7.4: no address
        enum result result = call->part->part(r, a->mailbox, host, &text);
        if (result == R_OK)
            result = sieve_match_feed(m, text);
        if (result == R_FAIL)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
address(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct sieve_fields it;
    struct span *names, value;
    bool any = sieve_tag(call, "mime") != NULL;  // RFC 5703 section 4.2
    if (sieve_match_begin(&m, r, call, &call->position[1]) != R_OK ||
        sieve_texts(r, &call->position[0], &names) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[0].n; i++)
        names[i] = any || has_addresses(names[i]) ? names[i] : SPAN("");
    enum result result = sieve_fields_begin(&it, r, call, names, call->position[0].n);
    while (result == R_OK && !m.found) {
        result = sieve_fields_next(&it, &value);
        if (result == R_OK)
            result = feed_addresses(r, call, value, &m);
    }
    return result == R_FAIL ? R_FAIL : sieve_match_end(&m, yes);
}

static const struct sieve_command commands[] = {
    {"true", SIEVE_TEST, "", .emit = emit_constant},
    {"false", SIEVE_TEST, "", .emit = emit_constant},
    {"not", SIEVE_TEST, "", .emit = emit_not},
    {"allof", SIEVE_TEST, "", .emit = emit_allof},
    {"anyof", SIEVE_TEST, "", .emit = emit_anyof},
    {"header", SIEVE_TEST, "ll", .matches = true, .keys = 1, .test = header},
    {"address", SIEVE_TEST, "ll", .matches = true, .parts = true, .keys = 1,
     .check = check_address, .test = address},
    {"exists", SIEVE_TEST, "l", .test = exists},
    {"size", SIEVE_TEST, "n", .check = check_size, .test = size,
     .tags = {{"over", 0, "size"}, {"under", 0, "size"}}},
    {0},
};

const struct sieve_ext sieve_ext_tests = {.rfc = "RFC 5228", .commands = commands};
