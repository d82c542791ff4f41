#include "pop3/capability.h"

void
pop3_capability_put(struct buf *b, const struct pop3_capability *c)
{
    buf_put_str(b, "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
                   "UTF8 USER\r\nLANG\r\n");
    if (c->expire_days == 0)
        buf_put_str(b, "EXPIRE NEVER\r\n");
    else  // a user's own days are the server's at least
        buf_printf(b, "EXPIRE %u%s\r\n", c->expire_days, c->before_login ? " USER" : "");
    if (c->login_delay_s > 0)
        buf_printf(b, "LOGIN-DELAY %u\r\n", c->login_delay_s);
    buf_put_str(b, "IMPLEMENTATION Posthorn-" POSTHORN_VERSION "\r\n");
}
