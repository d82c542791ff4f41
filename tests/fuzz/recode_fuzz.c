// A text that is recoded for a lesser smarthost: lines of ASCII come out, and what was recoded needs it no more.
#include "relay/recode.h"
#include "relay/text.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
file_of(const uint8_t *data, size_t size)
{
    int fd = memfd_create("text", MFD_CLOEXEC);
    must(fd >= 0 && ftruncate(fd, QUEUE_HEAD) == 0);
    must(pwrite(fd, data, size, QUEUE_HEAD) == (ssize_t)size);
    return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault f;
    for (unsigned form = 0; form < 4; form++) {
        struct queue_mail m = {.head = {.text_n = size}};
        enum recode_aim aim = form & 1 ? RECODE_NO_BINARY : RECODE_7BIT;
        m.envelope.body = form & 2 ? RELAY_BODY_BINARYMIME : RELAY_BODY_8BITMIME;
        struct recoded once;
        int from = file_of(data, size), to = file_of(NULL, 0);
        if (relay_recode(from, &m, aim, to, &once, &f) == R_OK) {
            must(aim != RECODE_7BIT || !(once.traits & RELAY_TRAIT_8BIT));
            must(once.wire_n >= once.n / 2);
        }
        close(from);
        close(to);
    }
    return 0;
}
