#include "doctor/names.h"
#include "base/buf.h"
#include "base/limits.h"

#define CARES_NO_DEPRECATED
#include <ares.h>
#include <poll.h>

enum { CLASS_IN = 1, NAME_MAX_OCTETS = 255, TRIES = 2 };
enum { SOCKETS = ARES_GETSOCK_MAXNUM - 1 };  // of the last the bit is a sign's

struct names {
    ares_channel channel;
};

// One question under way.
struct question {
    struct arena *arena;
    enum name_kind kind;
    struct name_record *records;
    struct name_address *addresses;
    size_t n;
    int status;
};

enum result
names_open(const char *resolver, struct names **n_out, struct fault *f)
{
    char lookups[] = "b";  // the DNS only
    struct ares_options o = {
        .timeout = LIMIT_doctor_dns_ms, .tries = TRIES, .lookups = lookups};
    struct names *n = calloc(1, sizeof *n);
    must(n != NULL);
    int code = ares_library_init(ARES_LIB_INIT_ALL);
    if (code == ARES_SUCCESS)
        code = ares_init_options(&n->channel, &o,
                                 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS);
    *n_out = n;
    if (code != ARES_SUCCESS) {
        free(n);
        return fault_set(f, FAULT_UNAVAILABLE, "the DNS resolver: %s", ares_strerror(code));
    }
    if (resolver != NULL &&
        ares_set_servers_ports_csv(n->channel, resolver) != ARES_SUCCESS) {
        names_close(n_out);
        return fault_set(
            f, FAULT_BAD,
            "--resolver: '%.60s' is no address; write 192.0.2.1, or with a port "
            "192.0.2.1:5353",
            resolver);
    }
    return R_OK;
}

void
names_close(struct names **n)
{
    if (*n == NULL)
        return;
    ares_destroy((*n)->channel);
    ares_library_cleanup();
    free(*n);
    *n = NULL;
}

// Until every question has its answer.
static void
await(struct names *n)
{
    for (;;) {
        ares_socket_t sockets[SOCKETS];
        struct pollfd polled[SOCKETS];
        struct timeval tv;
        nfds_t count = 0;
        int bits = ares_getsock(n->channel, sockets, SOCKETS);
        for (unsigned i = 0; i < SOCKETS; i++) {
            short events = (short)((ARES_GETSOCK_READABLE(bits, i) ? POLLIN : 0) |
                                   (ARES_GETSOCK_WRITABLE(bits, i) ? POLLOUT : 0));
            if (events != 0)
                polled[count++] = (struct pollfd){sockets[i], events, 0};
        }
        if (count == 0)
            return;
        struct timeval *wait = ares_timeout(n->channel, NULL, &tv);
        poll(polled, count,
             wait ? (int)(wait->tv_sec * 1000 + wait->tv_usec / 1000 + 1) : -1);
        for (nfds_t i = 0; i < count; i++)
            ares_process_fd(n->channel,
                            polled[i].revents & ~POLLOUT ? polled[i].fd : ARES_SOCKET_BAD,
                            polled[i].revents & POLLOUT ? polled[i].fd : ARES_SOCKET_BAD);
    }
}

static void
put_record(struct question *q, struct span text, unsigned priority, unsigned port)
{
    if (q->n < LIMIT_doctor_records && text.n <= LIMIT_doctor_text)
        q->records[q->n++] =
            (struct name_record){arena_dup(q->arena, text), priority, port};
}

static void
read_mx(struct question *q, const unsigned char *p, int n)
{
    struct ares_mx_reply *list = NULL;
    q->status = ares_parse_mx_reply(p, n, &list);
    for (const struct ares_mx_reply *r = list; r != NULL; r = r->next)
        put_record(q, span_str(r->host), r->priority, 0);
    ares_free_data(list);
}

static void
read_srv(struct question *q, const unsigned char *p, int n)
{
    struct ares_srv_reply *list = NULL;
    q->status = ares_parse_srv_reply(p, n, &list);
    for (const struct ares_srv_reply *r = list; r != NULL; r = r->next)
        put_record(q, span_str(r->host), r->priority, r->port);
    ares_free_data(list);
}

// A text of several strings is one (RFC 1035 section 3.3.14).
static void
read_txt(struct question *q, const unsigned char *p, int n)
{
    struct ares_txt_ext *list = NULL;
    struct buf whole;
    buf_init(&whole, LIMIT_doctor_text);
    q->status = ares_parse_txt_reply_ext(p, n, &list);
    for (const struct ares_txt_ext *r = list; r != NULL; r = r->next) {
        buf_put(&whole, span_of(r->txt, r->length));
        if (r->next != NULL && !r->next->record_start)
            continue;
        if (!whole.over)
            put_record(q, buf_span(&whole), 0, 0);
        buf_reset(&whole);
    }
    buf_done(&whole);
    ares_free_data(list);
}

static const struct {
    int type;
    void (*read)(struct question *q, const unsigned char *p, int n);
} kinds[] = {
    [NAME_MX] = {15, read_mx},
    [NAME_SRV] = {33, read_srv},
    [NAME_TXT] = {16, read_txt},
};

static void
on_records(void *arg, int status, int timeouts, unsigned char *p, int n)
{
    struct question *q = arg;
    (void)timeouts;
    q->status = status;
    if (status == ARES_SUCCESS)
        kinds[q->kind].read(q, p, n);
}

static int
by_priority(const void *a, const void *b)
{
    const struct name_record *x = a, *y = b;
    return x->priority < y->priority ? -1 : x->priority > y->priority;
}

static enum result
name_check(struct arena *a, struct span name, struct fault *f)
{
    if (name.n == 0 || name.n > NAME_MAX_OCTETS || memchr(name.p, '\0', name.n) != NULL)
        return fault_set(f, FAULT_BAD, "'%.60s' is no name of the DNS",
                         arena_cstr(a, span_slice(name, 0, 60)));
    return R_OK;
}

static enum result
outcome(const struct question *q, const char *name, struct fault *f)
{
    if (q->status == ARES_ENODATA || q->status == ARES_ENOTFOUND ||
        (q->status == ARES_SUCCESS && q->n == 0))
        return R_NONE;
    if (q->status == ARES_SUCCESS)
        return R_OK;
    return fault_set(f, q->status == ARES_EBADNAME ? FAULT_BAD : FAULT_UNAVAILABLE,
                     "the DNS gave no answer for %.100s: %s", name,
                     ares_strerror(q->status));
}

enum result
names_records(struct names *n, struct arena *a, enum name_kind kind, struct span name,
              struct name_records *out, struct fault *f)
{
    struct question q = {.arena = a, .kind = kind};
    if (name_check(a, name, f) != R_OK)
        return R_FAIL;
    const char *text = arena_cstr(a, name);
    q.records = arena_array(a, LIMIT_doctor_records, sizeof *q.records);
    ares_query(n->channel, text, CLASS_IN, kinds[kind].type, on_records, &q);
    await(n);
    enum result r = outcome(&q, text, f);
    if (r != R_OK)
        return r;
    qsort(q.records, q.n, sizeof *q.records, by_priority);
    *out = (struct name_records){q.records, q.n};
    return R_OK;
}

static void
on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    struct question *q = arg;
    (void)timeouts;
    q->status = status;
    for (const struct ares_addrinfo_node *i = found ? found->nodes : NULL;
         i != NULL && q->n < LIMIT_doctor_records; i = i->ai_next) {
        struct name_address *one = &q->addresses[q->n++];
        one->length = i->ai_addrlen;
        must(one->length <= sizeof one->at);
        memcpy(&one->at, i->ai_addr, one->length);
    }
    ares_freeaddrinfo(found);
}

enum result
names_addresses(struct names *n, struct arena *a, struct span host, uint16_t port,
                struct name_addresses *out, struct fault *f)
{
    char service[8];
    struct question q = {.arena = a};
    struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NUMERICSERV,
                                        .ai_socktype = SOCK_STREAM};
    if (name_check(a, host, f) != R_OK)
        return R_FAIL;
    const char *text = arena_cstr(a, host);
    snprintf(service, sizeof service, "%u", port);
    q.addresses = arena_array(a, LIMIT_doctor_records, sizeof *q.addresses);
    ares_getaddrinfo(n->channel, text, service, &hints, on_addresses, &q);
    await(n);
    enum result r = outcome(&q, text, f);
    if (r != R_OK)
        return r;
    *out = (struct name_addresses){q.addresses, q.n};
    return R_OK;
}
