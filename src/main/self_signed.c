#include "main/self_signed.h"
#include "base/hash.h"
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { DAYS = 825 };  // as long as Apple's clients accept

static void
add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

static X509 *
make(EVP_PKEY *key)
{
    X509 *x = X509_new();
    must(x != NULL && X509_set_version(x, X509_VERSION_3) == 1);
    must(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), random_u64() >> 1) == 1);
    must(X509_gmtime_adj(X509_getm_notBefore(x), -3600) != NULL);
    must(X509_gmtime_adj(X509_getm_notAfter(x), DAYS * 86400L) != NULL);
    must(X509_set_pubkey(x, key) == 1);
    X509_NAME *name = X509_get_subject_name(x);
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                    (const unsigned char *)"localhost", -1, -1, 0) == 1);
    must(X509_set_issuer_name(x, name) == 1);
    add_extension(x, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1");
    add_extension(x, NID_basic_constraints,
                  "critical,CA:TRUE,pathlen:0");  // so that clients can be told to trust it
    add_extension(x, NID_ext_key_usage, "serverAuth");
    must(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

static FILE *
create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0 ? fdopen(fd, "w") : NULL;
}

static enum result
write_pair(const char *certificate, const char *key_path, X509 *x, EVP_PKEY *key,
           struct fault *f)
{
    FILE *c = create(certificate), *k = create(key_path);
    bool written = c != NULL && k != NULL && PEM_write_X509(c, x) == 1 &&
                   PEM_write_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1;
    written = c != NULL && fclose(c) == 0 && written;
    written = k != NULL && fclose(k) == 0 && written;
    return written ? R_OK : fault_errno(f, FAULT_DISK, certificate);
}

enum result
self_signed_make(const char *certificate, const char *key_path, struct fault *f)
{
    if (faccessat(AT_FDCWD, certificate, 0, 0) == 0 &&
        faccessat(AT_FDCWD, key_path, 0, 0) == 0)
        return R_OK;
    (void)unlink(certificate);  // half a pair is of no use
    (void)unlink(key_path);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key != NULL);
    X509 *x = make(key);
    enum result r = write_pair(certificate, key_path, x, key, f);
    X509_free(x);
    EVP_PKEY_free(key);
    return r;
}
