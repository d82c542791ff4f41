#include "os/children.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN_TEXT = 4096 };

static int
open_children(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    return open(path, O_RDONLY | O_CLOEXEC);
}

enum result
children_adopt(struct fault *f)
{
    int fd = open_children();
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "the list of children in /proc");
    close(fd);
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
               ? R_OK
               : fault_errno(f, FAULT_UNAVAILABLE, "PR_SET_CHILD_SUBREAPER");
}

bool
children_sweep(bool (*is_own)(pid_t pid, void *arg), void *arg)
{
    char text[CHILDREN_TEXT];
    bool left = false;
    int fd = open_children();
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    for (char *at = text, *end; (end = strchr(at, ' ')) != NULL; at = end + 1) {
        pid_t pid = (pid_t)strtol(at, NULL, 10);
        if (pid <= 0 || is_own(pid, arg))
            continue;
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, WNOHANG);
        left = true;
    }
    return left;
}

static bool
is_nobody(pid_t pid, void *arg)
{
    (void)pid, (void)arg;
    return false;
}

// Those whom one that was ended had started come to light behind it.
void
children_end(void)
{
    enum { LOOKS = 50, PAUSE_US = 20000 };
    for (unsigned i = 0; i < LOOKS && children_sweep(is_nobody, NULL); i++)
        (void)usleep(PAUSE_US);
}
