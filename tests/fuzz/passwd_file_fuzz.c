// Lines of a passwd-file: what is accepted has a normal name and a hash that is accepted again as it stands.
#include "auth/nets.h"
#include "auth/passwd_file.h"
#include "auth/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct passwd_line *l)
{
    struct name name;
    struct buf again;
    struct fault f;
    must(name_of(name_span(&l->name), &name, &f) == R_OK);
    must(span_eq(name_span(&name), name_span(&l->name)));
    buf_init(&again, LIMIT_user_networks);
    must(nets_check(buf_span(&l->nets), &again, &f) == R_OK);
    must(span_eq(buf_span(&again), buf_span(&l->nets)));
    buf_done(&again);
    if (l->hash.n == 0)
        return;
    buf_init(&again, LIMIT_password_hash);
    must(password_check(buf_span(&l->hash), &again, &f) == R_OK);
    must(span_eq(buf_span(&again), buf_span(&l->hash)));
    if (password_cost(buf_span(&l->hash)) == PASSWORD_FAST)
        must(password_verify(buf_span(&l->hash), SPAN("x"), &f) == R_OK ||
             f.kind == FAULT_AUTHFAILED);
    buf_done(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct passwd_line l = {0};
    struct fault f;
    buf_init(&l.hash, LIMIT_password_hash);
    buf_init(&l.nets, LIMIT_user_networks);
    if (passwd_line_parse(span_of(data, size), &l, &f) == R_OK)
        check(&l);
    buf_done(&l.hash);
    buf_done(&l.nets);
    return 0;
}
