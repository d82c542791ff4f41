// RFC 9590: LIST RETURN (METADATA (entry ...)).
#include "imap/list.h"
#include "imap/metadata.h"

static void
parse(struct imap_command *c, struct parse *p)
{
    struct imap_list *l = c->own;
    struct imap_entries *asked = ARENA_NEW(c->arena, struct imap_entries);
    parse_sp(p);
    imap_entries_parse(c, false, false, asked);
    l->metadata = asked;
}

// What may not be looked at is passed over (section 3).
static enum result
put(struct imap_command *c, const struct tree_entry *e, struct fault *f)
{
    const struct imap_list *l = c->own;
    const struct imap_entries *asked = l->metadata;
    struct imap_metadata answer = {.session = c->session, .mailbox = e->name};
    struct metadata_place place;
    if (e->mailbox == 0 || e->nonexistent ||
        metadata_place(c->session->user, e->name, &place, f) != R_OK)
        return R_OK;
    struct arena *a = arena_new();
    for (size_t i = 0; i < asked->n; i++) {
        struct metadata_value value;
        arena_reset(a);
        enum result r = metadata_get(&place, asked->p[i].name, UINT32_MAX, a, &value);
        if (r == R_FAIL)
            break;
        imap_metadata_put(&answer, asked->p[i].spelled,
                          r == R_OK ? value.octets : SPAN_NONE);
    }
    imap_metadata_end(&answer);
    arena_free(&a);
    return R_OK;
}

static const struct imap_list_option metadata = {.parse = parse, .put = put};

static const struct imap_word words[] = {
    {SLOT_LIST_RETURN, "METADATA", 0, {.list = &metadata}},
    {.name = NULL},
};

const struct imap_ext imap_ext_list_metadata = {
    .name = "list_metadata",
    .rfc = "RFC 9590",
    .capability = "LIST-METADATA",
    .words = words,
};
