#include "doctor/visit.h"

#include "base/percent.h"

#include <openssl/cms.h>
#include <openssl/evp.h>

#define AUTODISCOVER "http://schemas.microsoft.com/exchange/autodiscover/outlook/"
enum { URL_MAX = 1200 };

// A form of a URL: %D is the domain, %A the address, %H the host of an SRV record.
static void
put_url(const struct visit *v, const char *form, struct buf *url)
{
    for (; *form != '\0'; form++) {
        if (*form != '%') {
            buf_put_char(url, *form);
            continue;
        }
        switch (*++form) {
        case 'D':
            buf_put(url, v->domain);
            break;
        case 'A':
            percent_encode(url, v->address);
            break;
        default:
            buf_put(url, v->autodiscover);
        }
    }
}

// The document of the first place that has it; else why the last that could be reached has not.
static enum result
fetch_any(struct visit *v, const char *const *places, struct span post, struct fetched *out,
          struct buf *url, struct fault *f)
{
    struct fault one;
    fault_set(f, FAULT_NONEXISTENT, "none: no name leads to it");
    for (; *places != NULL; places++) {
        buf_reset(url);
        put_url(v, *places, url);
        if (span_find(buf_span(url), SPAN("https:///")) == 0)
            continue;
        enum result r = fetch(&v->fetch, v->arena, buf_span(url), post, out, &one);
        if (r == R_OK)
            return R_OK;
        if (r == R_FAIL && (f->kind != FAULT_PRIVACY || one.kind == FAULT_PRIVACY))
            *f = one;
    }
    return R_FAIL;
}

// A certificate that is wrong keeps clients away; a document that is not there leaves them to other ways.
static void
tell_missing(struct visit *v, const char *step, const struct fault *f, const char *hint)
{
    bool refused = f->kind == FAULT_PRIVACY;
    visit_tell(v, step, refused ? FINDING_WRONG : FINDING_WARNING,
               refused ? "the certificate must have this name, too (docs/certificates.md)"
                       : hint,
               "%s", f->why);
}

static void
tell_read(struct visit *v, const char *step, enum result r, const struct buf *url,
          const struct fault *f)
{
    if (r != R_OK)
        visit_tell(v, step, FINDING_WRONG, "something else answers there", "%.*s: %s",
                   SPAN_ARG(buf_span(url)), f->why);
    else if (v->found.plain)
        visit_tell(v, step, FINDING_WRONG, "offer TLS only",
                   "%.*s names a server without TLS", SPAN_ARG(buf_span(url)));
    else
        visit_tell(v, step, v->found.named > 0 ? FINDING_OK : FINDING_WARNING,
                   v->found.named > 0 ? NULL : "it names no server", "%.*s (servers: %u)",
                   SPAN_ARG(buf_span(url)), v->found.named);
    v->found.plain = false;
}

static void
look_document(struct visit *v, const char *step, const char *const *places,
              struct span post, found_read_fn *read, const char *hint)
{
    struct fetched got;
    struct fault f;
    struct buf url;
    buf_init(&url, URL_MAX);
    if (fetch_any(v, places, post, &got, &url, &f) != R_OK)
        tell_missing(v, step, &f, hint);
    else
        tell_read(v, step, read(&v->found, got.body, &f), &url, &f);
    buf_done(&url);
}

// draft-ietf-mailmaint-autoconfig, section on retrieval: in this order.
static void
look_autoconfig(struct visit *v)
{
    static const char *const places[] = {
        "https://autoconfig.%D/mail/config-v1.1.xml?emailaddress=%A",
        "https://%D/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=%A", NULL};
    look_document(
        v, "Thunderbird", places, SPAN_NONE, found_autoconfig,
        "Thunderbird, K-9 and others guess: let autoconfig.DOMAIN lead to Posthorn's https "
        "(docs/autoconfig.md)");
}

static void
look_autodiscover(struct visit *v)
{
    static const char *const places[] = {
        "https://%D/autodiscover/autodiscover.xml",
        "https://autodiscover.%D/autodiscover/autodiscover.xml",
        "https://%H/autodiscover/autodiscover.xml", NULL};
    struct buf post;
    buf_init(&post, 4096);
    buf_put_str(
        &post,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover xmlns=\"" AUTODISCOVER
        "requestschema/2006\"><Request><EMailAddress>");
    for (size_t i = 0; i < v->address.n; i++)
        if (strchr("<>&", v->address.p[i]))
            buf_printf(&post, "&#%d;", v->address.p[i]);
        else
            buf_put_char(&post, v->address.p[i]);
    buf_put_str(&post,
                "</EMailAddress><AcceptableResponseSchema>" AUTODISCOVER
                "responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>");
    look_document(v, "Outlook", places, buf_span(&post), found_autodiscover,
                  "Outlook guesses: let autodiscover.DOMAIN lead to Posthorn's https");
    buf_done(&post);
}

// Autodiscover v2 only says where v1 is.
static void
look_autodiscover_json(struct visit *v)
{
    static const char *const places[] = {
        "https://autodiscover.%D/autodiscover/"
        "autodiscover.json?Email=%A&Protocol=AutodiscoverV1",
        NULL};
    struct fetched got;
    struct fault f;
    struct buf url;
    struct span where;
    buf_init(&url, URL_MAX);
    if (fetch_any(v, places, SPAN_NONE, &got, &url, &f) != R_OK)
        tell_missing(v, "Outlook (v2)", &f, NULL);
    else if (found_autodiscover_url(v->arena, got.body, &where, &f) != R_OK)
        visit_tell(v, "Outlook (v2)", FINDING_WRONG, "something else answers there", "%s",
                   f.why);
    else
        visit_tell(v, "Outlook (v2)", FINDING_OK, NULL, "leads to %.*s",
                   SPAN_ARG(span_slice(where, 0, 200)));
    buf_done(&url);
}

static bool
has_digest(const struct visit *v, struct span body)
{
    unsigned char digest[EVP_MAX_MD_SIZE], text[100];
    unsigned n = 0;
    must(EVP_Digest(body.p, body.n, digest, &n, EVP_sha256(), NULL) == 1);
    EVP_EncodeBlock(text, digest, (int)n);
    return span_eq(v->digest, span_str((const char *)text));
}

static void
look_pacc(struct visit *v)
{
    static const char *const places[] = {
        "https://ua-auto-config.%D/.well-known/user-agent-configuration.json", NULL};
    struct fetched got;
    struct fault f;
    struct buf url;
    buf_init(&url, URL_MAX);
    if (fetch_any(v, places, SPAN_NONE, &got, &url, &f) != R_OK)
        tell_missing(v, "PACC", &f, NULL);
    else if (v->digest.n > 0 && !has_digest(v, got.body))
        visit_tell(v, "PACC", FINDING_WRONG,
                   "put the record that `posthorn dns DOMAIN` prints into the zone again",
                   "the digest in the DNS is not that of the document");
    else
        tell_read(v, "PACC", found_pacc(&v->found, got.body, &f), &url, &f);
    buf_done(&url);
}

// The certificate is one of a TLS server, not of a mail signer. A store of its own, since servers' certificates must be for TLS.
static X509_STORE *
signers(const struct visit *v)
{
    X509_STORE *store = X509_STORE_new();
    must(store != NULL);
    (void)(v->fetch.authorities ? X509_STORE_load_file(store, v->fetch.authorities)
                                : X509_STORE_set_default_paths(store));
    X509_VERIFY_PARAM_set_purpose(X509_STORE_get0_param(store), X509_PURPOSE_ANY);
    return store;
}

// What is inside of a signed profile (CMS, RFC 5652). R_NONE: it is not signed; R_FAIL: by nobody that is trusted.
static enum result
open_signed(struct visit *v, struct span body, struct span *inside, struct fault *f)
{
    BIO *in = BIO_new_mem_buf(body.p, (int)body.n), *out = BIO_new(BIO_s_mem());
    CMS_ContentInfo *cms = d2i_CMS_bio(in, NULL);
    enum result r = R_NONE;
    char *p = NULL;
    if (cms != NULL) {
        X509_STORE *store = signers(v);
        r = CMS_verify(cms, NULL, store, NULL, out, CMS_BINARY) == 1
                ? R_OK
                : fault_set(f, FAULT_PRIVACY, "its signature is not good");
        long n = BIO_get_mem_data(out, &p);
        if (r == R_OK)
            *inside = arena_dup(v->arena, span_of(p, (size_t)n));
        X509_STORE_free(store);
    }
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    BIO_free(out);
    return r;
}

static void
look_profile(struct visit *v)
{
    static const char *const places[] = {
        "https://autoconfig.%D/mail.mobileconfig?emailaddress=%A", NULL};
    static const char step[] = "Apple profile";
    struct fetched got;
    struct fault f;
    struct buf url;
    buf_init(&url, URL_MAX);
    enum result r = fetch_any(v, places, SPAN_NONE, &got, &url, &f);
    if (r != R_OK) {
        tell_missing(v, step, &f, NULL);
    } else if ((r = open_signed(v, got.body, &got.body, &f)) == R_FAIL) {
        visit_tell(v, step, FINDING_WRONG,
                   "devices refuse it: use a certificate of a known authority", "%s",
                   f.why);
    } else {
        visit_tell(v, "Apple signature", r == R_OK ? FINDING_OK : FINDING_WARNING,
                   r == R_OK ? NULL : "devices say \"not signed\", and ask", "%s",
                   r == R_OK ? "good" : "none");
        tell_read(v, step, found_profile(&v->found, got.body, &f), &url, &f);
    }
    buf_done(&url);
}

void
visit_documents(struct visit *v)
{
    look_autoconfig(v);
    look_autodiscover(v);
    look_autodiscover_json(v);
    look_pacc(v);
    look_profile(v);
}
