// Address lists: bounded, and every address has a mailbox and a host.

#include "base/limits.h"
#include "mime/address.h"
#include "mime/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct arena *a = arena_new();
    struct mime_date date;
    size_t n = 0;

    for (const struct mime_address *at = mime_address_parse(a, text); at; at = at->next) {
        must(at->kind != MIME_ADDRESS || (at->mailbox.p && at->host.n > 0));
        n++;
    }
    must(n <= LIMIT_mime_addresses + 2);
    if (mime_date_parse(text, &date) == R_OK)
        must(date.local_day >= -25567);
    arena_free(&a);
    return 0;
}
