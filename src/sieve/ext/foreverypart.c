// RFC 5703 section 3: foreverypart and break.

#include "sieve/compile.h"
#include "sieve/message.h"
#include "sieve/parts.h"
#include "sieve/run.h"

// A loop at work; `at` NULL: before the first part.
struct loop {
    const struct mime_part *within, *at;
    bool inner, begun;
    bool leaf;  // it does not go into `at`: that was replaced
    struct loop *around;
};

// Without those in it.
static const struct mime_part *
part_behind(const struct mime_part *part, const struct mime_part *within)
{
    while (part != within && part->next == NULL)
        part = part->parent;
    return part == within ? NULL : part->next;
}

const struct mime_part *
sieve_part_after(const struct mime_part *part, const struct mime_part *within)
{
    return part->child ? part->child : part_behind(part, within);
}

// The part at the same place in another message; NULL: there is none.
static const struct mime_part *
counterpart(const struct mime_part *part, const struct mime_part *root)
{
    uint32_t place[LIMIT_mime_depth + 1];
    unsigned depth = 0;
    for (; part->parent && depth <= LIMIT_mime_depth; part = part->parent) {
        uint32_t n = 0;
        for (const struct mime_part *p = part->parent->child; p != part; p = p->next)
            n++;
        place[depth++] = n;
    }
    while (root && depth > 0) {
        uint32_t n = place[--depth];
        for (root = root->child; root && n > 0; n--)
            root = root->next;
    }
    return root;
}

static void
move_loop(struct sieve_run *r, struct loop *l, const struct mime_part *replaced)
{
    const struct mime_part *root = sieve_message(r)->root;
    const struct mime_part *within = counterpart(l->within, root);
    const struct mime_part *at = l->at ? counterpart(l->at, root) : NULL;
    l->leaf = l->at == replaced || within == NULL || at == NULL;
    l->within = within ? within : root;
    l->at = l->at == NULL ? NULL : at && within ? at : l->within;
}

void
sieve_parts_moved(struct sieve_run *r, const struct mime_part *replaced)
{
    for (struct loop *l = *sieve_state(r, SIEVE_EXT_foreverypart); l; l = l->around)
        move_loop(r, l, replaced);
}

const struct mime_part *
sieve_part_root(struct sieve_run *r)
{
    const struct loop *l = r->frame->loops;
    return l && l->at ? l->at : sieve_message(r)->root;
}

const struct mime_part *
sieve_part_now(struct sieve_run *r)
{
    const struct loop *l = *sieve_state(r, SIEVE_EXT_foreverypart);
    return l && l != r->frame->loops ? l->at : NULL;
}

static enum result
begin(struct sieve_run *r, const struct sieve_call *call)
{
    void **state = sieve_state(r, SIEVE_EXT_foreverypart);
    const struct mime_part *now = sieve_part_now(r);
    (void)call;
    if (sieve_room(r, sizeof(struct loop)) != R_OK)
        return R_FAIL;
    struct loop *l = ARENA_NEW(sieve_kept(r), struct loop);
    l->within = now ? now : sieve_part_root(r);
    l->inner = now != NULL;
    l->around = *state;
    *state = l;
    return R_OK;
}

// An inner loop goes over what is in the part, not over the part.
static enum result
next(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct loop *l = *sieve_state(r, SIEVE_EXT_foreverypart);
    (void)call;
    if (l->begun)
        l->at =
            l->leaf ? part_behind(l->at, l->within) : sieve_part_after(l->at, l->within);
    else
        l->at = l->inner ? l->within->child : l->within;
    l->begun = true;
    l->leaf = false;
    *yes = l->at != NULL;
    return R_OK;
}

static enum result
end(struct sieve_run *r, const struct sieve_call *call)
{
    void **state = sieve_state(r, SIEVE_EXT_foreverypart);
    (void)call;
    *state = ((struct loop *)*state)->around;
    return R_OK;
}

static const struct sieve_command inner[] = {
    {"foreverypart", SIEVE_ACTION, "", .act = begin},
    {"foreverypart", SIEVE_TEST, "", .test = next},
    {"foreverypart", SIEVE_ACTION, "", .act = end},
};
enum { BEGIN, NEXT, END };

static enum result
emit_inner(struct sieve_compiler *c, const struct sieve_call *call, int which)
{
    struct sieve_call *own = ARENA_NEW(c->arena, struct sieve_call);
    *own = *call;
    own->command = &inner[which];
    return sieve_emit(c, (struct sieve_instruction){.op = which == NEXT ? OP_TEST : OP_DO,
                                                    .line = call->line,
                                                    .call = own});
}

static enum result
emit_body(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call,
          size_t *out)
{
    size_t head = sieve_here(c);
    if (emit_inner(c, call, NEXT) != R_OK)
        return R_FAIL;
    *out = sieve_here(c);
    if (sieve_emit(c, (struct sieve_instruction){.op = OP_JUMP_FALSE,
                                                 .line = call->line}) != R_OK ||
        sieve_compile_block(c, node->block) != R_OK)
        return R_FAIL;
    return sieve_emit(
        c, (struct sieve_instruction){.op = OP_JUMP, .line = call->line, .target = head});
}

static enum result
emit(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    const struct sieve_value *name = sieve_tag(call, "name");
    struct sieve_loop *loop = ARENA_NEW(c->arena, struct sieve_loop);
    size_t out;
    unsigned depth = 0;
    if (node->tests || !node->has_block)
        return sieve_wrong(c, call->line, call->column,
                           "foreverypart needs a block and no test");
    for (const struct sieve_loop *l = c->loop; l; l = l->around)
        depth++;
    if (depth == LIMIT_sieve_loops)
        return sieve_wrong(c, call->line, call->column, "loops are nested too deep");
    loop->name = name ? name->strings[0].text : SPAN_NONE;
    loop->around = c->loop;
    if (emit_inner(c, call, BEGIN) != R_OK)
        return R_FAIL;
    c->loop = loop;
    enum result r = emit_body(c, node, call, &out);
    c->loop = loop->around;
    if (r != R_OK)
        return R_FAIL;
    sieve_land(c, out);
    for (size_t i = 0; i < loop->n; i++)
        if (loop->breaks[i] < sieve_here(c))
            sieve_land(c, loop->breaks[i]);
    return emit_inner(c, call, END);
}

// Loops that end on the way are ended one by one.
static enum result
emit_break(struct sieve_compiler *c, const struct sieve_node *node, struct sieve_call *call)
{
    const struct sieve_value *name = sieve_tag(call, "name");
    struct sieve_loop *l = c->loop;
    if (node->tests || node->has_block)
        return sieve_wrong(c, call->line, call->column, "break takes no test and no block");
    while (l && name && !(l->name.p && span_ieq(l->name, name->strings[0].text))) {
        l = l->around;
        if (l && emit_inner(c, call, END) != R_OK)
            return R_FAIL;
    }
    if (l == NULL)
        return sieve_wrong(c, call->line, call->column, "break is in no such loop");
    if (l->n == sizeof l->breaks / sizeof l->breaks[0])
        return sieve_wrong(c, call->line, call->column, "a loop has too many breaks");
    l->breaks[l->n++] = sieve_here(c);
    return sieve_emit(c, (struct sieve_instruction){.op = OP_JUMP, .line = call->line});
}

static enum result
check_name(struct sieve_compiler *c, struct sieve_call *call,
           const struct sieve_value *value)
{
    (void)call;
    if (sieve_is_constant(&value->strings[0]))
        return R_OK;
    return sieve_wrong(c, value->line, value->column, "a loop's name has no variables");
}

static const struct sieve_command commands[] = {
    {"foreverypart", SIEVE_CONTROL, "", .emit = emit,
     .tags = {{"name", 's', .check = check_name}}},
    {"break", SIEVE_CONTROL, "", .emit = emit_break,
     .tags = {{"name", 's', .check = check_name}}},
    {0},
};

const struct sieve_ext sieve_ext_foreverypart = {
    .capability = "foreverypart", .rfc = "RFC 5703", .commands = commands};
