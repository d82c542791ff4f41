#include "main/process.h"
#include "base/limits.h"
#include "os/listen.h"
#include <pwd.h>
#include <sys/stat.h>

enum { MODE_OWNER = 0600, MODE_GROUP = 0660 };

static enum result
open_one(struct supervisor *s, struct socket_row row, unsigned mode, struct fault *f)
{
    struct fault why;
    if (listen_open(span_str(row.address), mode, &row.fd, &why) != R_OK)
        return fault_set(f, why.kind, "%s: %.80s: %.90s", row.service, row.address,
                         why.why);
    s->sockets[s->socket_count++] = row;
    return R_OK;
}

static enum result
open_list(struct supervisor *s, const struct config_list *list, struct socket_row row,
          struct fault *f)
{
    for (size_t i = 0; i < list->n; i++) {
        row.address = list->items[i];
        if (open_one(s, row, geteuid() == 0 ? MODE_OWNER : MODE_GROUP, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// Whose LMTP's unix sockets are: who is configured, or Postfix, or we.
static struct user_ids
lmtp_owner(const struct supervisor *s)
{
    const char *name = s->options.config->lmtp_user;
    struct user_ids ids;
    struct fault none;
    return user_find(name[0] ? name : "postfix", &ids, &none) == R_OK ? ids : s->ids;
}

static enum result
give_away(const char *address, struct user_ids ids, struct fault *f)
{
    static const char prefix[] = "unix:";
    must(address != NULL);
    if (geteuid() != 0 || strncmp(address, prefix, sizeof prefix - 1) != 0)
        return R_OK;
    const char *path = address + sizeof prefix - 1;
    return chown(path, ids.uid, ids.gid) == 0 ? R_OK
                                              : fault_errno(f, FAULT_UNAVAILABLE, path);
}

static enum result
give_all_away(struct supervisor *s, struct fault *f)
{
    for (size_t i = 0; i < s->socket_count; i++) {
        const struct socket_row *row = &s->sockets[i];
        bool lmtp = span_eq(span_str(row->service), SPAN("lmtp"));
        if (give_away(row->address, lmtp ? lmtp_owner(s) : s->ids, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
open_admin(struct supervisor *s, struct fault *f)
{
    static char address[4200];
    snprintf(address, sizeof address, "unix:%s/admin.sock", s->options.config->data);
    return open_one(s, (struct socket_row){"admin", "mail", TLS_NONE, address, -1},
                    MODE_OWNER, f);
}

enum result
sockets_open(struct supervisor *s, struct fault *f)
{
    const struct config *c = s->options.config;
    s->sockets = calloc(c->imap.n + c->imaps.n + c->lmtp.n + 1, sizeof *s->sockets);
    must(s->sockets != NULL);
    if (open_admin(s, f) != R_OK ||
        open_list(s, &c->imap, (struct socket_row){"imap", "gate", TLS_STARTTLS, "", -1},
                  f) != R_OK ||
        open_list(s, &c->imaps, (struct socket_row){"imap", "gate", TLS_IMPLICIT, "", -1},
                  f) != R_OK ||
        open_list(s, &c->lmtp, (struct socket_row){"lmtp", "mail", TLS_NONE, "", -1}, f) !=
            R_OK)
        return R_FAIL;
    return give_all_away(s, f);
}

void
sockets_close(struct supervisor *s)
{
    for (size_t i = 0; i < s->socket_count; i++) {
        struct span a = span_str(s->sockets[i].address), prefix = SPAN("unix:");
        close(s->sockets[i].fd);
        if (span_starts(a, prefix))
            (void)unlink(a.p + prefix.n);  // a stale one is replaced at the next start
    }
    free(s->sockets);
    s->sockets = NULL;
    s->socket_count = 0;
}
