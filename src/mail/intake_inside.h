#ifndef MAIL_INTAKE_INSIDE_H
#define MAIL_INTAKE_INSIDE_H

// A message on its way in, as intake.c fills it and intake_commit.c commits it. Only these, intake_spread.c, intake_marks.c and
// sent_*.c include this.

#include "base/limits.h"
#include "mail/home.h"
#include "mail/intake.h"
#include "mail/scan_charge.h"
#include "mime/scan.h"

#include <openssl/evp.h>

enum { INTAKE_HASH = 32 };

struct intake {
    struct mail *mail;
    struct arena *arena;
    struct mime_scan *scan;        // NULL when packed
    const struct mime_part *root;  // once finished; NULL when packed
    struct scan_charge *charge;
    EVP_MD_CTX *sha;
    struct store_body *body;
    uint64_t size;
    bool too_big, finished;
    unsigned char hash[INTAKE_HASH];
    struct span cache;  // packed; empty when over LIMIT_cache_value
    uint64_t keys[LIMIT_thread_refs + 2];
    size_t key_count;
    struct span packed_keys;
    uint16_t sent;           // as in message_row
    unsigned wanted, marks;  // enum mark
    char *head;              // the first head_n octets, where marks want them
    size_t head_n;
};

// intake_commit.c, in the home. A row as the item and this moment make it; no UID yet.
void intake_row(const struct intake_item *item, struct message_row *row);
// In a change in which nothing can refuse any more: gives the row its UID and counts it; *keywords is begun and has its
// packed numbers.
void intake_count_in(struct account *a, struct store_batch *b, struct mailbox *m,
                     const struct intake_item *item, struct message_row *row,
                     struct buf *keywords);
// The same, and puts the ADDED record.
void intake_put(struct account *a, struct store_batch *b, struct mailbox *m,
                const struct intake_item *item, struct span thread_keys,
                struct message_row *row);

// intake_marks.c
void intake_marks_feed(struct intake *in, struct span bytes);
void intake_marks_end(struct intake *in, const struct mime_part *root);
// In the home. The items with what they are to have in this mailbox: themselves, or copies in the arena.
const struct intake_item *intake_marked(struct arena *a, const struct mailbox *m,
                                        const struct intake_item *items, size_t n);

#endif
