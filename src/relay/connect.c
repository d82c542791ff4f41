#include "relay/smtp.h"
#include "base/clock.h"
#include "base/limits.h"
#include "io/resolve.h"

enum result
relay_connect(const struct smarthost *host, int *fd_out, struct fault *f)
{
    struct fault why;
    uint32_t ms = LIMIT_relay_connect_ms;
    if (host->patience_ms > 0 && host->patience_ms < ms)
        ms = host->patience_ms;
    if (resolve_reach(host->name, host->port, clock_mono_ms() + ms, fd_out, &why) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_UNAVAILABLE, "the smarthost cannot be reached: %.160s",
                     why.why);
}
