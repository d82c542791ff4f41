#ifndef AUTH_PASSWD_FILE_H
#define AUTH_PASSWD_FILE_H

// A passwd-file as Dovecot reads it: user:password:uid:gid:gecos:home:shell:extra fields. Empty lines and
// lines that start with '#' say nothing. Of the extra fields those that would narrow who may log in are
// refused (nopassword, proxy ...) unless they are understood (nologin, allow_nets); what is
// quota of userdb_ fields is told; the others do not concern us.
// Trust: the file comes from the administrator, its lines from anywhere.

#include "auth/name.h"
#include "auth/user_quota.h"
#include "auth/userdb.h"

struct passwd_line {
    struct name name;
    struct buf hash;          // "{SCHEME}text"; max LIMIT_password_hash
    struct buf nets;          // allow_nets; max LIMIT_user_networks
    struct user_quota quota;  // userdb_quota_rule, userdb_quota_storage ...
    bool disabled;            // no password, "*", "!...", or nologin
};

// R_NONE for a line that says nothing. R_FAIL: out->name tells whose line cannot be used, if that can be read (n > 0).
// hash and nets must be initialised.
enum result passwd_line_parse(struct span line, struct passwd_line *out,
                              struct fault *f) MUST_CHECK;

// A hash of a SCRAM scheme is keys for SCRAM as it is; others leave *out alone.
void passwd_scram(struct span hash, struct scram_set *out);

struct passwd_counts {
    uint64_t added, changed, lines_bad;
    struct buf
        *ended;  // of the caller: gets the accounts (pack_u64) that the file disabled
};

// Loads a whole file (or a piece of one, beginning at line first_line) in one transaction: new users are
// added, known ones get the password of the file; who was disabled stays so, and keeps his networks when the file names
// none: it lets nobody in whom the administrator has put out since it was written. Lines that cannot be used are named in `report`
// (a row each, field_put_row) and skipped. R_FAIL when the database failed; nothing is changed then.
enum result passwd_file_load(struct userdb *db, struct span text, uint64_t first_line,
                             struct buf *report, struct passwd_counts *out,
                             struct fault *f) MUST_CHECK;

#endif
