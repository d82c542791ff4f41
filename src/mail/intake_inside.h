#ifndef MAIL_INTAKE_INSIDE_H
#define MAIL_INTAKE_INSIDE_H

// A message on its way in, as intake.c fills it and intake_commit.c commits it. Only these two include this.

#include "base/limits.h"
#include "mail/intake.h"
#include "mail/scan_charge.h"
#include "mime/scan.h"

#include <openssl/evp.h>

enum { INTAKE_HASH = 32 };

struct intake {
    struct mail *mail;
    struct arena *arena;
    struct mime_scan *scan;  // NULL when packed
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
    uint16_t sent;  // as in message_row
};

#endif
