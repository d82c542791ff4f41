#include "main/process.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "gate/tls.h"

static enum result
read_file(const char *path, struct buf *b, struct fault *f)
{
    buf_init(b, LIMIT_certificate);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fault_errno(f, FAULT_BAD, path);
    char *room = buf_reserve(b, LIMIT_certificate);
    must(room != NULL);
    b->n = fread(room, 1, LIMIT_certificate, file);
    bool wrong = ferror(file) != 0 || (b->n == LIMIT_certificate && fgetc(file) != EOF);
    fclose(file);
    return wrong ? fault_set(f, FAULT_BAD,
                             "%.120s cannot be read, or is larger than %d octets", path,
                             LIMIT_certificate)
                 : R_OK;
}

// Tries them as a gate will, so that a wrong file is told now and by name.
static enum result
try_pair(struct tls_set *t, const struct config *c, struct secrets *s, size_t i,
         struct fault *f)
{
    struct fault why;
    if (read_file(c->tls_certificate.items[i], &s->chains[i], f) != R_OK ||
        read_file(c->tls_key.items[i], &s->keys[i], f) != R_OK)
        return R_FAIL;
    if (tls_set_add(t, buf_span(&s->chains[i]), buf_span(&s->keys[i]), &why) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_BAD, "%.80s: %.100s", c->tls_certificate.items[i], why.why);
}

static enum result
read_certificates(const struct config *c, struct secrets *s, struct fault *f)
{
    struct tls_set *t = tls_set_new();
    enum result r = R_OK;
    for (size_t i = 0; r == R_OK && i < s->certificates; i++)
        r = try_pair(t, c, s, i, f);
    struct fault why;
    if (r == R_OK && s->client_ca.n > 0 &&
        tls_set_client_ca(t, buf_span(&s->client_ca), &why) != R_OK)
        r = fault_set(f, FAULT_BAD, "%.80s: %.100s", c->tls_client_ca, why.why);
    tls_set_free(&t);
    return r;
}

static enum result
read_all(struct secrets *s, const struct config *c, struct fault *f)
{
    s->certificates = c->tls_certificate.n;
    s->chains = calloc(s->certificates + 1, sizeof *s->chains);
    s->keys = calloc(s->certificates + 1, sizeof *s->keys);
    must(s->chains != NULL && s->keys != NULL);
    buf_init(&s->client_ca, LIMIT_certificate);
    if (c->tls_client_ca[0] && read_file(c->tls_client_ca, &s->client_ca, f) != R_OK)
        return R_FAIL;
    return read_certificates(c, s, f);
}

enum result
secrets_read(struct supervisor *s, struct fault *f)
{
    random_bytes(s->secrets.ticket, sizeof s->secrets.ticket);
    ticket_seed_new(s->secrets.session, clock_wall_s());
    return read_all(&s->secrets, s->options.config, f);
}

enum result
secrets_check(const struct config *c, struct fault *f)
{
    struct secrets s = {0};
    enum result r = read_all(&s, c, f);
    secrets_free(&s);
    return r;
}

static bool
same_certificates(const struct secrets *a, const struct secrets *b)
{
    bool same = a->certificates == b->certificates &&
                span_eq(buf_span(&a->client_ca), buf_span(&b->client_ca));
    for (size_t i = 0; same && i < a->certificates; i++)
        same = span_eq(buf_span(&a->chains[i]), buf_span(&b->chains[i])) &&
               span_eq(buf_span(&a->keys[i]), buf_span(&b->keys[i]));
    return same;
}

enum result
secrets_follow(struct secrets *s, const struct config *c, const struct secrets *now,
               bool *changed_out, struct fault *f)
{
    *s = (struct secrets){0};
    memcpy(s->ticket, now->ticket, sizeof s->ticket);
    memcpy(s->session, now->session, sizeof s->session);
    if (read_all(s, c, f) != R_OK) {
        secrets_free(s);
        return R_FAIL;
    }
    *changed_out = !same_certificates(s, now);
    if (*changed_out)
        ticket_seed_new(s->session, clock_wall_s());
    return R_OK;
}

void
secrets_free(struct secrets *s)
{
    for (size_t i = 0; i < s->certificates; i++) {
        buf_wipe(&s->keys[i]);
        buf_done(&s->chains[i]);
    }
    buf_done(&s->client_ca);
    free(s->chains);
    free(s->keys);
    explicit_bzero(s, sizeof *s);
}
