#include "gate/tls.h"
#include "base/clock.h"
#include "base/limits.h"
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

// One SSL_CTX per set of names; its certificates differ in key type.
struct tls_names {
    SSL_CTX *ctx;
    X509 *leaf;  // borrowed from ctx: the first certificate, whose names count
};

struct tls_set {
    struct tls_names names[LIMIT_certificates];
    size_t n;
    struct ticket_keys *ticket_keys;
    unsigned users;  // its owner and every SSL that may still be choosing a certificate
};

static int users_index = -1;

static void
drop_user(struct tls_set *t)
{
    if (--t->users > 0)
        return;
    for (size_t i = 0; i < t->n; i++)
        SSL_CTX_free(t->names[i].ctx);
    ticket_keys_free(&t->ticket_keys);
    free(t);
}

static void
on_ssl_free(void *ssl, void *set, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)ssl, (void)data, (void)index, (void)argl, (void)argp;
    if (set != NULL)
        drop_user(set);
}

static enum result
tls_fault(struct fault *f, const char *what)
{
    char text[120];
    ERR_error_string_n(ERR_peek_error(), text, sizeof text);
    ERR_clear_error();
    return fault_set(f, FAULT_BAD, "%s: %s", what, text);
}

struct tls_set *
tls_set_new(void)
{
    struct tls_set *t = calloc(1, sizeof *t);
    unsigned char seed[TICKET_SEED];
    must(t != NULL);
    t->users = 1;
    ticket_seed_new(seed, clock_wall_s());  // its own, until all gates' comes
    t->ticket_keys = ticket_keys_new(seed);
    if (users_index < 0)
        users_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
    must(users_index >= 0);
    return t;
}

void
tls_set_free(struct tls_set **t)
{
    if (*t != NULL)
        drop_user(*t);
    *t = NULL;
}

// The client must mean this protocol: a browser tricked into talking to us is refused (ALPACA).
static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
            const unsigned char *in, unsigned in_n, void *arg)
{
    (void)arg;
    struct span want = span_str(SSL_get_app_data(ssl));
    for (unsigned i = 0; i < in_n && i + 1 + in[i] <= in_n; i += 1u + in[i]) {
        if (span_eq(want, span_of(in + i + 1, in[i]))) {
            *out = in + i + 1;
            *out_n = in[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool
names_match(const struct tls_names *n, struct span host)
{
    return X509_check_host(n->leaf, host.p, host.n, 0, NULL) == 1;
}

// The one host_name of a server_name extension (RFC 6066 section 3), or SPAN_NONE.
static struct span
hello_server_name(SSL *ssl)
{
    const unsigned char *p;
    size_t n;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1)
        return SPAN_NONE;
    struct unpack u = unpack_of(span_of(p, n));
    uint16_t list = unpack_u16(&u);
    uint8_t type = unpack_u8(&u);
    uint16_t size = unpack_u16(&u);
    if (u.bad || list != n - 2 || type != TLSEXT_NAMETYPE_host_name || size != u.rest.n)
        return SPAN_NONE;
    return size > 0 && size <= TLSEXT_MAXLEN_host_name ? u.rest : SPAN_NONE;
}

static int
choose_certificate(SSL *ssl, int *alert, void *arg)
{
    (void)alert;
    struct tls_set *t = arg;
    struct span host = hello_server_name(ssl);
    for (size_t i = 0; host.n > 0 && t->n > 1 && i < t->n; i++) {
        if (names_match(&t->names[i], host)) {
            SSL_set_SSL_CTX(ssl, t->names[i].ctx);
            break;
        }
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

// Makes the client's name known to SSL_get_servername.
static int
accept_server_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

// RFC 9325 section 4: forward secrecy always. No finite-field groups: in TLS 1.3 the client chooses, and one
// exchange in ffdhe8192 costs a hundred times one in X25519.
static void
set_algorithms(SSL_CTX *c)
{
    must(SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1);
    must(SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                     "TLS_CHACHA20_POLY1305_SHA256") == 1);
    must(SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!AESCCM") == 1);
    must(SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384:P-521") == 1);
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
          EVP_MAC_CTX *mac, int sealing)
{
    struct tls_set *t = SSL_get_ex_data(ssl, users_index);
    int64_t now = clock_wall_s();
    if (sealing)
        return ticket_keys_seal(t->ticket_keys, now, name, iv, cipher, mac);
    return ticket_keys_open(t->ticket_keys, now, name, iv, cipher, mac);
}

static SSL_CTX *
context_new(struct tls_set *t)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    must(c != NULL);
    set_algorithms(c);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c, 1);  // a record's head and body in one read
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    must(SSL_CTX_set_session_id_context(c, (const unsigned char *)"posthorn", 8) == 1);
    must(SSL_CTX_set_num_tickets(c, 1) == 1);
    SSL_CTX_set_timeout(c, TICKET_HOUR_S);  // for so long its key is kept
    must(SSL_CTX_set_tlsext_ticket_key_evp_cb(c, on_ticket) == 1);
    must(SSL_CTX_set_max_early_data(c, 0) == 1);
    SSL_CTX_set_alpn_select_cb(c, choose_alpn, NULL);
    SSL_CTX_set_client_hello_cb(c, choose_certificate, t);
    SSL_CTX_set_tlsext_servername_callback(c, accept_server_name);
    return c;
}

void
tls_set_ticket_seed(struct tls_set *t, struct span seed)
{
    if (seed.n != TICKET_SEED)
        return;
    ticket_keys_free(&t->ticket_keys);
    t->ticket_keys = ticket_keys_new((const unsigned char *)seed.p);
}

// The end of the file is an error to PEM_read, too; any other is a certificate that is damaged.
static bool
was_last(void)
{
    unsigned long e = ERR_peek_last_error();
    bool last = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
    if (last)
        ERR_clear_error();
    return last;
}

static enum result
use_chain(SSL_CTX *ctx, X509 *leaf, BIO *rest)
{
    if (SSL_CTX_use_certificate(ctx, leaf) != 1)
        return R_FAIL;
    X509 *issuer;
    while ((issuer = PEM_read_bio_X509(rest, NULL, NULL, NULL)) != NULL)
        if (SSL_CTX_add0_chain_cert(ctx, issuer) != 1)
            return R_FAIL;
    return was_last() ? R_OK : R_FAIL;
}

static bool
same_names(const X509 *a, const X509 *b)
{
    GENERAL_NAMES *x = X509_get_ext_d2i(a, NID_subject_alt_name, NULL, NULL);
    GENERAL_NAMES *y = X509_get_ext_d2i(b, NID_subject_alt_name, NULL, NULL);
    bool same = x != NULL && y != NULL && sk_GENERAL_NAME_num(x) == sk_GENERAL_NAME_num(y);
    for (int i = 0; same && i < sk_GENERAL_NAME_num(x); i++)
        same =
            GENERAL_NAME_cmp(sk_GENERAL_NAME_value(x, i), sk_GENERAL_NAME_value(y, i)) == 0;
    GENERAL_NAMES_free(x);
    GENERAL_NAMES_free(y);
    return same;
}

static int
key_type(const X509 *cert)
{
    EVP_PKEY *k = X509_get0_pubkey(cert);
    return k != NULL ? EVP_PKEY_get_base_id(k) : 0;
}

// Where a certificate goes: beside one of the same names and another key type, or to a context of its own.
static struct tls_names *
names_for(struct tls_set *t, X509 *leaf)
{
    for (size_t i = 0; i < t->n; i++)
        if (same_names(t->names[i].leaf, leaf) &&
            key_type(t->names[i].leaf) != key_type(leaf))
            return &t->names[i];
    t->names[t->n] = (struct tls_names){context_new(t), leaf};
    return &t->names[t->n++];
}

static enum result
add_pair(struct tls_set *t, X509 *leaf, BIO *rest, EVP_PKEY *key, struct fault *f)
{
    if (X509_check_private_key(leaf, key) != 1)
        return fault_set(f, FAULT_BAD, "the key does not belong to the certificate");
    if (t->n == LIMIT_certificates)
        return fault_set(f, FAULT_LIMIT, "more than %d certificates", LIMIT_certificates);
    struct tls_names *n = names_for(t, leaf);
    bool first = n->leaf == leaf;
    if (use_chain(n->ctx, leaf, rest) != R_OK || SSL_CTX_use_PrivateKey(n->ctx, key) != 1)
        return tls_fault(f, "certificate");
    if (first)
        n->leaf = SSL_CTX_get0_certificate(n->ctx);
    return R_OK;
}

// OpenSSL would ask at the terminal that the server was started from, and wait.
static int
no_passphrase(char *out, int max, int writing, void *arg)
{
    (void)out, (void)max, (void)writing, (void)arg;
    return -1;
}

enum result
tls_set_add(struct tls_set *t, struct span chain, struct span key, struct fault *f)
{
    BIO *c = BIO_new_mem_buf(chain.p, (int)chain.n),
        *k = BIO_new_mem_buf(key.p, (int)key.n);
    must(c != NULL && k != NULL);
    ERR_clear_error();  // what was wrong with the last one
    X509 *leaf = PEM_read_bio_X509_AUX(c, NULL, no_passphrase, NULL);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(k, NULL, no_passphrase, NULL);
    enum result r = leaf == NULL || pkey == NULL
                        ? tls_fault(f, leaf == NULL ? "no certificate in PEM form"
                                                    : "no key in PEM form")
                        : add_pair(t, leaf, c, pkey, f);
    X509_free(leaf);
    EVP_PKEY_free(pkey);
    BIO_free(c);
    BIO_free(k);
    return r;
}

SSL *
tls_set_accept(struct tls_set *t, const char *alpn)
{
    SSL *ssl = SSL_new(t->names[0].ctx);
    must(ssl != NULL);
    SSL_set_app_data(ssl, (void *)(uintptr_t)alpn);
    SSL_set_accept_state(ssl);
    must(SSL_set_ex_data(ssl, users_index, t) == 1);
    t->users++;
    return ssl;
}

static CMS_ContentInfo *
sign(SSL_CTX *ctx, struct span content)
{
    STACK_OF(X509) *chain = NULL;
    BIO *in = BIO_new_mem_buf(content.p, (int)content.n);
    must(in != NULL && SSL_CTX_get0_chain_certs(ctx, &chain) == 1);
    CMS_ContentInfo *cms =
        CMS_sign(SSL_CTX_get0_certificate(ctx), SSL_CTX_get0_privatekey(ctx), chain, in,
                 CMS_BINARY | CMS_NOSMIMECAP);
    BIO_free(in);
    ERR_clear_error();
    return cms;
}

enum result
tls_set_sign(struct tls_set *t, struct span host, struct span content, struct buf *out)
{
    size_t at = 0;
    unsigned char *der = NULL;
    for (size_t i = t->n; i > 0; i--)
        at = names_match(&t->names[i - 1], host) ? i - 1 : at;
    CMS_ContentInfo *cms = t->n > 0 ? sign(t->names[at].ctx, content) : NULL;
    int n = cms ? i2d_CMS_ContentInfo(cms, &der) : 0;
    if (n > 0)
        buf_put(out, span_of(der, (size_t)n));
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    return n > 0 && !out->over ? R_OK : R_NONE;
}

// RFC 9266 section 4.2: on TLS 1.2 only with the extended master secret, else two connections could share the value.
bool
tls_has_exporter(SSL *ssl)
{
    return SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1;
}

// RFC 9266: label EXPORTER-Channel-Binding, an empty context, 32 octets.
static struct span
exporter_of(SSL *ssl, unsigned char out[TLS_EXPORTER])
{
    static const char label[] = "EXPORTER-Channel-Binding";
    if (!tls_has_exporter(ssl))
        return SPAN_NONE;
    if (SSL_export_keying_material(ssl, out, TLS_EXPORTER, label, sizeof label - 1,
                                   (const unsigned char *)"", 0, 1) != 1)
        return SPAN_NONE;
    return span_of(out, TLS_EXPORTER);
}

// Text of at most one NUL-free value; R_NONE: none or several, so that nobody is who comes first.
static enum result
take_name(const ASN1_STRING *value, struct tls_scratch *scratch, size_t *n)
{
    unsigned char *text = NULL;
    int size = ASN1_STRING_to_UTF8(&text, value);
    bool good = *n == 0 && size > 0 && (size_t)size < sizeof scratch->name &&
                !memchr(text, '\0', (size_t)size);
    if (good)
        memcpy(scratch->name, text, (size_t)size);
    *n = good ? (size_t)size : 0;
    if (size >= 0)
        OPENSSL_free(text);
    return good ? R_OK : R_NONE;
}

static size_t
email_of(const X509 *x, struct tls_scratch *scratch)
{
    size_t n = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        if (one->type == GEN_EMAIL && take_name(one->d.rfc822Name, scratch, &n) != R_OK)
            break;
    }
    GENERAL_NAMES_free(names);
    return n;
}

static size_t
common_name_of(const X509 *x, struct tls_scratch *scratch)
{
    size_t n = 0;
    const X509_NAME *subject = X509_get_subject_name(x);
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
        if (take_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), scratch,
                      &n) != R_OK)
            break;
    return n;
}

// A resumed session brings its client's certificate along, as verified then; other authorities end all sessions (secrets.c).
bool
tls_has_client(SSL *ssl)
{
    const X509 *x = SSL_get0_peer_certificate(ssl);
    return x != NULL && SSL_get_verify_result(ssl) == X509_V_OK &&
           X509_cmp_current_time(X509_get0_notAfter(x)) > 0;
}

static struct span
client_of(SSL *ssl, enum tls_client_name name, struct tls_scratch *scratch)
{
    const X509 *x = SSL_get0_peer_certificate(ssl);
    if (!tls_has_client(ssl))
        return SPAN_NONE;
    return span_of(scratch->name, name == TLS_CLIENT_CN ? common_name_of(x, scratch)
                                                        : email_of(x, scratch));
}

static enum result
trust(SSL_CTX *ctx, X509_STORE *store, X509 *ca)
{
    return X509_STORE_add_cert(store, ca) == 1 && SSL_CTX_add_client_CA(ctx, ca) == 1
               ? R_OK
               : R_FAIL;
}

static enum result
ask_for_client(SSL_CTX *ctx, struct span pem, struct fault *f)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_STORE *store = X509_STORE_new();
    X509 *ca = NULL;
    size_t n = 0;
    must(bio != NULL && store != NULL);
    while ((ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        n += trust(ctx, store, ca) == R_OK;
        X509_free(ca);
    }
    bool whole = was_last();
    BIO_free(bio);
    SSL_CTX_set1_verify_cert_store(ctx, store);
    X509_STORE_free(store);
    // without one a client logs in as others do
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (!whole)
        return tls_fault(f, "certificate");
    return n > 0 ? R_OK : fault_set(f, FAULT_BAD, "no certificate in PEM form");
}

enum result
tls_set_client_ca(struct tls_set *t, struct span pem, struct fault *f)
{
    for (size_t i = 0; i < t->n; i++)
        if (ask_for_client(t->names[i].ctx, pem, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

struct tls_facts
tls_facts_of(SSL *ssl, enum tls_kind kind, enum tls_client_name name,
             struct tls_scratch *scratch)
{
    return (struct tls_facts){
        .kind = (uint8_t)kind,
        .protocol = span_str(SSL_get_version(ssl)),
        .cipher = span_str(SSL_get_cipher_name(ssl)),
        .exporter = exporter_of(ssl, scratch->exporter),
        .certificate = client_of(ssl, name, scratch),
        .server_name = span_str(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)),
    };
}
