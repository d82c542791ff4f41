#include "mail/urlkey.h"

#include "base/hash.h"
#include "base/limits.h"
#include "mail/mail_inside.h"
#include "mail/system.h"
#include "mail/tree_record.h"

#include <sodium.h>

// A stored key begins with an octet that says how it is used.
enum { KEY_FORM = 1, KEY_STORED = 1 + URLKEY_SIZE, NAME_ROOM = 48 };
static const struct span prefix = SPAN("urlauth/");
static const char server_name[NAME_ROOM] = "urlauth/server";

struct key_call {
    struct account *account;  // of the user
    char name[NAME_ROOM];     // of the META record
    bool fresh;
    struct urlkey *out;
    struct fault *fault;
    enum result result;
};

static void
key_name(char out[NAME_ROOM], uint64_t account, uint64_t mailbox)
{
    snprintf(out, NAME_ROOM, "urlauth/%016llx/%016llx", (unsigned long long)account,
             (unsigned long long)mailbox);
}

static struct key_call
call_of(struct mail_user *u, const struct mailbox_ref *ref, struct urlkey *out,
        struct fault *f)
{
    struct key_call c = {.account = mail_user_account(u), .out = out, .fault = f};
    if (ref)
        key_name(c.name, account_id(ref->account), ref->mailbox);
    return c;
}

static enum result
find(struct account *a, const char *name, struct urlkey *out)
{
    struct span stored;
    if (state_meta_find(account_state(a), 0, span_str(name), &stored) != R_OK ||
        stored.n != KEY_STORED || stored.p[0] != KEY_FORM)
        return R_NONE;
    memcpy(out->octets, stored.p + 1, URLKEY_SIZE);
    return R_OK;
}

static void
find_run(void *arg)
{
    struct key_call *c = arg;
    c->result = find(c->account, c->name, c->out);
}

enum result
urlkey_find(struct mail_user *u, const struct mailbox_ref *ref, struct urlkey *out)
{
    struct key_call c = call_of(u, ref, out, NULL);
    random_bytes(out->octets, sizeof out->octets);
    account_run(c.account, find_run, &c);
    return c.result;
}

// ---- changes: each runs alone in its batch, so that the state is what it looks like ----

static void
put(struct account *a, struct store_batch *b, struct span name, struct span value)
{
    struct record_meta r = {
        .mailbox = 0, .modseq = change_modseq(a), .key = name, .value = value};
    tree_put_meta(b, &r);
}

void
tree_put_key_gone(struct account *a, struct store_batch *b, uint64_t mailbox)
{
    char name[NAME_ROOM];
    struct urlkey key;
    key_name(name, a->id, mailbox);
    if (find(a, name, &key) == R_OK)
        put(a, b, span_str(name), SPAN_NONE);
    sodium_memzero(&key, sizeof key);
}

struct key_names {
    struct arena *arena;
    struct span *names;  // NULL: only counted
    size_t n;
};

static void
name_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct key_names *k = arg;
    if (mailbox != 0 || value.n == 0 || !span_starts(key, prefix))
        return;
    if (k->names)
        k->names[k->n] = arena_dup(k->arena, key);
    k->n++;
}

static enum result
make_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct key_call *c = arg;
    struct key_names have = {.n = 0};
    char stored[KEY_STORED] = {KEY_FORM};
    bool old = find(a, c->name, c->out) == R_OK;
    if (old && !c->fresh)
        return R_OK;
    state_meta_each(account_state(a), name_each, &have);
    if (!old && have.n >= LIMIT_url_keys)
        return fault_set(f, FAULT_LIMIT, "keys of %zu mailboxes", have.n);
    random_bytes(c->out->octets, URLKEY_SIZE);
    memcpy(stored + 1, c->out->octets, URLKEY_SIZE);
    put(a, b, span_str(c->name), span_of(stored, sizeof stored));
    sodium_memzero(stored, sizeof stored);
    return R_OK;
}

static void
make_run(void *arg)
{
    struct key_call *c = arg;
    c->result = account_change(c->account, make_change, c, CHANGE_ALONE, NULL, c->fault);
}

enum result
urlkey_make(struct mail_user *u, const struct mailbox_ref *ref, bool fresh,
            struct urlkey *out, struct fault *f)
{
    struct key_call c = call_of(u, ref, out, f);
    c.fresh = fresh;
    if (!fresh && urlkey_find(u, ref, out) == R_OK)
        return R_OK;
    account_run(c.account, make_run, &c);
    return c.result;
}

static enum result
forget_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct key_names have = {.n = 0}, gone = {.arena = a->batch_arena};
    (void)arg;
    (void)f;
    state_meta_each(account_state(a), name_each, &have);
    if (have.n == 0)
        return R_OK;
    gone.names = arena_array(gone.arena, have.n, sizeof *gone.names);
    state_meta_each(account_state(a), name_each, &gone);
    for (size_t i = 0; i < gone.n; i++)
        put(a, b, gone.names[i], SPAN_NONE);
    return R_OK;
}

static void
forget_run(void *arg)
{
    struct key_call *c = arg;
    c->result = account_change(c->account, forget_change, c, CHANGE_ALONE, NULL, c->fault);
}

enum result
urlkey_forget(struct mail_user *u, struct fault *f)
{
    struct key_call c = call_of(u, NULL, NULL, f);
    account_run(c.account, forget_run, &c);
    return c.result;
}

// ---- the server's ----

static void
remember(struct mail *m, const struct urlkey *key)
{
    struct urlkey *mine = calloc(1, sizeof *mine), *none = NULL;
    must(mine != NULL);
    *mine = *key;
    if (!atomic_compare_exchange_strong(&m->url_key, &none, mine))
        free(mine);
}

static enum result
server_key(struct mail *m, bool make, struct urlkey *out, struct fault *f)
{
    struct key_call c = {.out = out, .fault = f, .result = R_NONE};
    const struct urlkey *known = atomic_load(&m->url_key);
    if (known) {
        *out = *known;
        return R_OK;
    }
    random_bytes(out->octets, sizeof out->octets);
    memcpy(c.name, server_name, NAME_ROOM);
    enum result r = account_open(m, ACCOUNT_DIRECTORY, SPAN_NONE, make, &c.account, f);
    if (r != R_OK)
        return r;
    account_run(c.account, make ? make_run : find_run, &c);
    account_close(&c.account);
    if (c.result == R_OK)
        remember(m, out);
    return c.result;
}

enum result
urlkey_server(struct mail *m, struct urlkey *out, struct fault *f)
{
    return server_key(m, false, out, f);
}

enum result
urlkey_server_make(struct mail *m, struct urlkey *out, struct fault *f)
{
    return server_key(m, true, out, f);
}

// ---- tokens ----

enum { MAC_SIZE = 16 };

// The first octets of the HMAC (RFC 2104 section 5).
static void
mac_of(const struct urlkey *k, struct span first, struct span then,
       unsigned char out[MAC_SIZE])
{
    unsigned char whole[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state s;
    crypto_auth_hmacsha256_init(&s, k->octets, sizeof k->octets);
    crypto_auth_hmacsha256_update(&s, (const unsigned char *)first.p, first.n);
    crypto_auth_hmacsha256_update(&s, (const unsigned char *)then.p, then.n);
    crypto_auth_hmacsha256_final(&s, whole);
    memcpy(out, whole, MAC_SIZE);
}

void
urlkey_seal(const struct urlkey *server, struct span rump, char out[URLKEY_SEAL])
{
    enum { FORM_SEALED_HMAC_SHA256 = 2 };
    unsigned char seal[1 + MAC_SIZE] = {FORM_SEALED_HMAC_SHA256};
    char hex[2 * sizeof seal + 1];
    _Static_assert(sizeof hex == URLKEY_SEAL + 1, "seal in hex");
    mac_of(server, SPAN(""), rump, seal + 1);
    sodium_bin2hex(hex, sizeof hex, seal, sizeof seal);
    memcpy(out, hex, URLKEY_SEAL);
}

void
urlkey_token(const struct urlkey *k, uint32_t uidvalidity, struct span rump,
             char out[URLKEY_TOKEN])
{
    const char validity[4] = {(char)(uidvalidity >> 24), (char)(uidvalidity >> 16),
                              (char)(uidvalidity >> 8), (char)uidvalidity};
    unsigned char mac[MAC_SIZE];
    char hex[2 * sizeof mac + 1];
    _Static_assert(sizeof hex == URLKEY_TOKEN + 1, "token in hex");
    mac_of(k, span_of(validity, sizeof validity), rump, mac);
    sodium_bin2hex(hex, sizeof hex, mac, sizeof mac);
    memcpy(out, hex, URLKEY_TOKEN);
}
