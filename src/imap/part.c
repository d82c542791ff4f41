#include "imap/part.h"

void
imap_hide_nuls(char *p, size_t n)
{
    for (char *at = memchr(p, '\0', n); at; at = memchr(at, '\0', n - (size_t)(at - p)))
        *at = (char)0x80;
}

struct sending {
    struct conn *conn;
    struct mail_part_window *window;
    bool plain;
};

static enum result
send_piece(void *arg, char *octets, size_t n, struct fault *f)
{
    struct sending *s = arg;
    struct mail_part_window *w = s->window;
    size_t skip = w->skip < n ? (size_t)w->skip : n;
    size_t size = n - skip < w->left ? n - skip : (size_t)w->left;
    w->skip -= skip;
    w->left -= size;
    if (s->plain)
        imap_hide_nuls(octets + skip, size);
    conn_write(s->conn, span_of(octets + skip, size));
    return conn_failed(s->conn) ? fault_set(f, FAULT_CLOSED, "client went") : R_OK;
}

enum result
imap_part_send(struct imap_session *s, const struct mail_part *p,
               const struct imap_part_send *how, struct arena *a,
               struct mail_part_window *w, struct fault *f)
{
    struct sending sending = {s->conn, w, how->plain};
    struct mail_part_sink sink = {send_piece, &sending};
    return mail_part_read(p, how->decoded, a, &sink, f);
}
