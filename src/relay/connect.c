#include "relay/smtp.h"
#include "base/clock.h"
#include "base/limits.h"
#include "io/resolve.h"

// Each address in turn, with one deadline for all, the name server's answer included.

static enum result
unreachable(const struct fault *why, struct fault *f)
{
    return fault_set(f, FAULT_UNAVAILABLE, "the smarthost cannot be reached: %.160s",
                     why->why);
}

enum result
relay_connect(const struct smarthost *host, int *fd_out, struct fault *f)
{
    struct resolve_addresses found = {0};
    struct fault why;
    uint32_t ms = LIMIT_relay_connect_ms;
    if (host->patience_ms > 0 && host->patience_ms < ms)
        ms = host->patience_ms;
    uint64_t until_ms = clock_mono_ms() + ms;
    if (resolve_host(host->name, host->port, until_ms, &found, &why) != R_OK)
        return unreachable(&why, f);
    for (size_t i = 0; i < found.n; i++)
        if (resolve_connect(&found.list[i], until_ms, fd_out, &why) == R_OK)
            return R_OK;
    return unreachable(&why, f);
}
