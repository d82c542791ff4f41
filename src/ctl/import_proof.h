#ifndef CTL_IMPORT_PROOF_H
#define CTL_IMPORT_PROOF_H

// What came into one mailbox from another server, and what of it is on disk here: two SHA-256, each over a line for each
// message, "UID FLAGS SHA-256-OF-ITS-OCTETS", by rising UID. Flags and keywords are in lower case, sorted, a space between them,
// without \Recent and the marks of intake (mail/marks.h). They are equal where UIDs were kept and nobody changed flags meanwhile.
// Owner: the verb's task.

#include "mail/view.h"

struct import_proof;
struct import_proof_message {
    uint32_t there, here;  // UIDs
    uint16_t flags;        // as it came
    const struct span *keywords;
    size_t keyword_count;
    struct span sha256;  // of the octets that came
};
struct import_proof_result {
    char came[65], here[65];  // hexadecimal
    uint64_t checked;         // messages that were read back
};

struct import_proof *import_proof_new(void);
void import_proof_free(struct import_proof **p);  // takes NULL
void import_proof_begin(struct import_proof *p);  // of the next mailbox
// A message that is on disk.
void import_proof_add(struct import_proof *p, const struct import_proof_message *m);
// Suspends. Reads back what was added since the last time; the view knows it. `wrong`: UIDs there of messages whose octets here
// are not those that came.
enum result import_proof_check(struct import_proof *p, struct view *v, struct arena *a,
                               struct seqset *wrong, struct fault *f) MUST_CHECK;
void import_proof_end(struct import_proof *p, struct import_proof_result *out);

#endif
