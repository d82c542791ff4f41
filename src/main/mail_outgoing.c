#include "main/mail_role.h"
#include "base/budget.h"
#include "mail/intake.h"

#include <sys/mman.h>

enum { PIECE = 65536 };

static enum result
put_octets(int fd, struct span s, struct fault *f)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n <= 0)
            return fault_errno(f, FAULT_UNAVAILABLE, "a letter in memory");
        s = span_skip(s, (size_t)n);
    }
    return R_OK;
}

static enum result
put_body(int fd, const struct mail_outgoing *m, struct fault *f)
{
    uint64_t at = m->at, size = intake_size(m->body);
    struct arena *a = arena_new();
    char *piece = arena_alloc(a, PIECE);
    enum result r = R_OK;
    while (r == R_OK && at < size) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        r = intake_read(m->body, at, piece, n, f);
        if (r == R_OK)
            r = put_octets(fd, span_of(piece, n), f);
        at += n;
    }
    arena_free(&a);
    return r;
}

static enum result
send_octets(const struct relay_envelope *e, const struct mail_outgoing *m, uint64_t *id_out,
            struct fault *f)
{
    int fd = memfd_create("posthorn-letter", MFD_CLOEXEC);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "a letter in memory");
    enum result r = put_octets(fd, m->head, f);
    if (r == R_OK)
        r = put_octets(fd, m->text, f);
    if (r == R_OK && m->body)
        r = put_body(fd, m, f);
    off_t size = r == R_OK ? lseek(fd, 0, SEEK_END) : 0;
    const struct relay_text text = {.fd = fd, .at = 0, .size = (uint64_t)size};
    if (r == R_OK)
        r = relay_hand_over(e, &text, id_out, f);
    close(fd);
    return r;
}

// What waits for the relay is memory: a relay that is slow does not fill the machine.
enum result
mail_outgoing_send(const struct relay_envelope *e, const struct mail_outgoing *m,
                   uint64_t *id_out, struct fault *f)
{
    size_t octets =
        m->head.n + m->text.n + (m->body ? (size_t)(intake_size(m->body) - m->at) : 0);
    if (budget_take(BUDGET_INTAKE, octets, f) != R_OK)
        return R_FAIL;
    enum result r = send_octets(e, m, id_out, f);
    budget_give(BUDGET_INTAKE, octets);
    return r;
}
