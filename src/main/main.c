#include "main/start.h"
#include "ctl/verb.h"
#include <fcntl.h>
#include <unistd.h>

// A file of the store that took the place of a closed standard descriptor would get what is logged. They stay closed to
// those who write: /dev/null is opened to be read.
static void
fill_standard(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int
main(int argc, char **argv)
{
    fill_standard();
    const struct role *role = argc > 0 ? spawn_role_of(argv[0]) : NULL;
    return role != NULL ? start_as(role) : verb_main(argc, argv);
}
