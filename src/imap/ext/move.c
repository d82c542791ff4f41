#include "imap/copy.h"

// RFC 6851, RFC 9051 section 6.4.8. EXPUNGE may be told during MOVE, so it is no VERB_SEQ verb.

static enum result
move_run(struct imap_command *c, struct fault *f)
{
    return imap_copy(c, true, f);
}

static const struct imap_verb verbs[] = {
    {"MOVE", ARGS_SET_MORE, IMAP_SELECTED, VERB_UID | VERB_CHANGES,
     RIGHT_READ | RIGHT_DELETED | RIGHT_EXPUNGE, move_run},
    {0},
};

const struct imap_ext imap_ext_move = {
    .name = "move",
    .rfc = "RFC 6851, RFC 9051 section 6.4.8",
    .capability = "MOVE",
    .verbs = verbs,
};
