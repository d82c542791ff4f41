#include "main/mail_role.h"
#include "base/budget.h"
#include "base/memory_file.h"
#include "mail/intake.h"

#include <unistd.h>

static const char what[] = "a letter in memory";

static enum result
put_piece(void *fd, struct span piece, struct fault *f)
{
    return memory_file_put(*(int *)fd, piece, what, f);
}

static enum result
send_octets(const struct relay_envelope *e, const struct mail_outgoing *m, uint64_t *id_out,
            struct fault *f)
{
    int fd;
    if (memory_file_new("posthorn-letter", what, &fd, f) != R_OK)
        return R_FAIL;
    enum result r = memory_file_put(fd, m->head, what, f);
    if (r == R_OK)
        r = memory_file_put(fd, m->text, what, f);
    if (r == R_OK && m->body)
        r = intake_copy(m->body, m->at, put_piece, &fd, f);
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
