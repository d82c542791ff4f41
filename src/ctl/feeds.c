#include "ctl/verbs.h"
#include "base/limits.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

// ---- signals that end the command, while there is something to put in order ----

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { ENDS = sizeof ends / sizeof ends[0] };

static void
ends_take(void (*handler)(int), struct sigaction before[ENDS])
{
    struct sigaction end = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND};
    for (int i = 0; i < ENDS; i++) {
        sigaction(ends[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            sigaction(ends[i], &end, NULL);
    }
}

static void
ends_give(const struct sigaction before[ENDS])
{
    for (int i = 0; i < ENDS; i++)
        sigaction(ends[i], &before[i], NULL);
}

// ---- a password: one line of standard input, without echo on a terminal ----

static struct prompt {
    struct termios was;
    struct sigaction before[ENDS];
} prompt;

// Who is ended leaves the terminal as it was.
static void
on_end(int number)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &prompt.was);
    (void)raise(number);  // its own action is the default one again
}

static bool
echo_off(void)
{
    struct termios quiet;
    if (tcgetattr(STDIN_FILENO, &prompt.was) != 0)
        return false;
    ends_take(on_end, prompt.before);
    quiet = prompt.was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    fprintf(stderr, "Password: ");
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    return true;
}

static void
echo_on(void)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &prompt.was);
    ends_give(prompt.before);
    fputc('\n', stderr);
}

enum result
feed_read_password(char *out, size_t size, size_t *n_out, struct fault *f)
{
    bool terminal = echo_off();
    memset(out, '\n', size);  // shows how far fgets wrote, should there be a NUL
    char *line = fgets(out, (int)size, stdin);
    if (terminal)
        echo_on();
    if (line == NULL)
        return fault_set(f, FAULT_BAD, "no password on standard input");
    size_t n = strcspn(out, "\r\n");
    if (n == strlen(out) && n == size - 1)
        return fault_set(f, FAULT_TOOBIG, "a password may have %d octets", LIMIT_password);
    if (n == strlen(out) && out[n + 1] != '\n')
        return fault_set(f, FAULT_BAD, "a password has no NUL octet");
    if (n == 0)
        return fault_set(f, FAULT_BAD, "the password is empty");
    *n_out = n;
    return R_OK;
}

enum result
feed_password(struct verb_client *c, struct fault *f)
{
    char line[LIMIT_password + 3];
    size_t n = 0;
    enum result r = feed_read_password(line, sizeof line, &n, f);
    if (r == R_OK)
        r = verb_client_put(c, span_of(line, n), f);
    explicit_bzero(line, sizeof line);
    return r;
}

// ---- a file, "-" for the standard streams ----

static FILE *
open_named(struct span name, const char *mode, FILE *standard)
{
    return span_eq(name, SPAN("-")) ? standard : fopen(name.p, mode);
}

// Arguments are C strings.
static struct span
last_argument(const struct verb_client *c)
{
    struct span name = SPAN_NONE;
    for (size_t i = 0; verb_client_arg(c, i).p != NULL; i++)
        name = verb_client_arg(c, i);
    return name;
}

static enum result
feed_from(struct verb_client *c, FILE *file, struct fault *f)
{
    char piece[32768];
    size_t n;
    if (file == NULL)
        return fault_errno(f, FAULT_BAD, "the file cannot be opened");
    enum result r = R_OK;
    while (r == R_OK && (n = fread(piece, 1, sizeof piece, file)) > 0)
        r = verb_client_put(c, span_of(piece, n), f);
    if (r == R_OK && ferror(file))
        r = fault_errno(f, FAULT_DISK, "the file cannot be read");
    if (file != stdin)
        fclose(file);
    return r;
}

enum result
feed_file(struct verb_client *c, struct fault *f)
{
    return feed_from(c, open_named(last_argument(c), "re", stdin), f);
}

enum result
feed_script(struct verb_client *c, struct fault *f)
{
    return feed_from(c, open_named(verb_client_arg(c, 1), "re", stdin), f);
}

enum result
feed_filter(struct verb_client *c, struct fault *f)
{
    struct span name = verb_client_arg(c, 2);
    return name.n > 0 ? feed_from(c, open_named(name, "re", stdin), f) : R_OK;
}

// A file that is being written.
static struct half {
    const char *path;
    struct sigaction before[ENDS];
} half;

static void
on_end_halfway(int number)
{
    (void)unlink(half.path);
    (void)raise(number);  // as above
}

// All mail and all password hashes may be in it: nobody else reads it. Never over an older one.
static FILE *
sink_create(const char *path)
{
    must(path != NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    FILE *file = fdopen(fd, "w");
    must(file != NULL);
    half.path = path;
    ends_take(on_end_halfway, half.before);
    return file;
}

// None of the signals comes between the file and who removes it.
static FILE *
sink_begin(struct span name)
{
    sigset_t held, before;
    if (span_eq(name, SPAN("-")))
        return stdout;
    sigemptyset(&held);
    for (int i = 0; i < ENDS; i++)
        sigaddset(&held, ends[i]);
    sigprocmask(SIG_BLOCK, &held, &before);
    FILE *file = sink_create(name.p);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return file;
}

static enum result
sink_end(FILE **file, struct fault *f)
{
    if (fflush(*file) != 0 || (*file != stdout && fsync(fileno(*file)) != 0))
        return fault_errno(f, FAULT_DISK, "the file cannot be written");
    if (*file != stdout) {
        ends_give(half.before);
        (void)fclose(*file);  // it is on disk
    }
    *file = NULL;
    return R_OK;
}

// It was made anew: nothing that was there before goes.
void
sink_file_drop(struct verb_client *c)
{
    FILE **file = (FILE **)verb_client_state(c);
    if (*file == NULL || *file == stdout)
        return;
    (void)fclose(*file);
    (void)unlink(half.path);
    ends_give(half.before);
    *file = NULL;
}

enum result
sink_file(struct verb_client *c, struct span bytes, struct fault *f)
{
    FILE **file = (FILE **)verb_client_state(c);
    if (*file == NULL)
        *file = sink_begin(last_argument(c));
    if (*file == NULL)
        return fault_errno(f, FAULT_BAD, "the file cannot be made");
    if (bytes.p == NULL)
        return sink_end(file, f);
    if (fwrite(bytes.p, 1, bytes.n, *file) == bytes.n)
        return R_OK;
    return fault_errno(f, FAULT_DISK, "the file cannot be written");
}

enum result
sink_nothing(struct verb_client *c, struct span bytes, struct fault *f)
{
    (void)c, (void)bytes, (void)f;
    return R_OK;
}
