#include "main/auth_inside.h"
#include "auth/name.h"
#include "auth/nets.h"
#include "auth/passwd_file.h"
#include "auth/password.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include <utlist.h>

// What the outer user databases said, the questions to them under way, and who waits for each.

enum { SWEEP_MS = 250, SENDS = 2 };

struct question;

// An answer about a name of one database, or the wish for one.
struct known {
    UT_hash_handle hh;
    struct question *question;  // NULL: none is under way
    bool answered;
    uint8_t verdict;  // enum directory_verdict
    bool disabled, there;
    uint64_t came_ms, generation;
    struct span hash, networks, groups;
    struct user_quota quota;
    char *texts;
    size_t texts_n, key_n;
    char key[1 + NAME_MAX_SIZE];  // enum user_source, name
};

struct question {
    struct question *prev, *next;
    uint64_t id, asked_ms;
    uint8_t source;
    unsigned sends;
    bool sent;
    struct known *known;  // NULL: a password is judged
    struct ask waiters;   // of their ring
    struct buf packed;
};

struct outer {
    struct auth_role *role;
    struct channel *directory, *pam;  // NULL: away
    struct known *known;
    struct question *questions;
    unsigned count;
    uint64_t last;
    uint64_t generation[USER_SOURCES];
    uint64_t keep_ms;
    struct timer sweep;
};

// ---- what is known ----

static void
forget_texts(struct known *k)
{
    if (k->texts != NULL)
        explicit_bzero(k->texts, k->texts_n);
    free(k->texts);
    k->texts = NULL;
    k->hash = k->networks = k->groups = SPAN_NONE;
}

static void
known_free(struct outer *o, struct known *k)
{
    HASH_DEL(o->known, k);
    forget_texts(k);
    free(k);
}

// The oldest that nobody waits for makes room.
static void
make_room(struct outer *o)
{
    struct known *k, *next;
    if (HASH_COUNT(o->known) < LIMIT_directory_known)
        return;
    HASH_ITER(hh, o->known, k, next)
    {
        if (k->question == NULL) {
            known_free(o, k);
            return;
        }
    }
}

static size_t
put_key(char key[1 + NAME_MAX_SIZE], enum user_source source, struct span name)
{
    must(name.n < NAME_MAX_SIZE);
    key[0] = (char)source;
    memcpy(key + 1, name.p, name.n);
    return name.n + 1;
}

static struct known *
known_find(struct outer *o, enum user_source source, struct span name)
{
    char key[1 + NAME_MAX_SIZE];
    struct known *k;
    size_t n = put_key(key, source, name);
    HASH_FIND(hh, o->known, key, n, k);
    return k;
}

static struct known *
known_get(struct outer *o, enum user_source source, struct span name)
{
    struct known *k = known_find(o, source, name);
    if (k != NULL)
        return k;
    make_room(o);
    k = calloc(1, sizeof *k);
    must(k != NULL);
    k->key_n = put_key(k->key, source, name);
    HASH_ADD_KEYPTR(hh, o->known, k->key, k->key_n, k);
    return k;
}

static struct span
put_text(char **end, struct span s)
{
    memcpy(*end, s.n > 0 ? s.p : "", s.n);
    *end += s.n;
    return span_of(*end - s.n, s.n);
}

static void
remember(struct outer *o, struct known *k, const struct directory_answer *m,
         struct span hash, struct span networks)
{
    forget_texts(k);
    k->texts_n = hash.n + networks.n + m->groups.n;
    k->texts = calloc(1, k->texts_n + 1);
    must(k->texts != NULL);
    char *end = k->texts;
    k->hash = put_text(&end, hash);
    k->networks = put_text(&end, networks);
    k->groups = put_text(&end, m->groups);
    k->quota = (struct user_quota){m->quota_storage, m->quota_messages};
    k->verdict = m->verdict;
    k->disabled = m->disabled;
    k->there = m->there;
    // to the end of the table, which is in the order of age
    HASH_DEL(o->known, k);
    HASH_ADD_KEYPTR(hh, o->known, k->key, k->key_n, k);
}

static uint64_t
keep_ms(const struct outer *o, const struct known *k)
{
    if (k->verdict == DIRECTORY_LATER)
        return 0;
    return k->verdict == DIRECTORY_NONE && o->keep_ms > LIMIT_directory_none_ms
               ? LIMIT_directory_none_ms
               : o->keep_ms;
}

static bool
is_good(const struct outer *o, const struct known *k, struct ask *a)
{
    if (!k->answered || k->generation != o->generation[(uint8_t)k->key[0]])
        return false;
    if (k->came_ms >= a->since_ms)
        return true;
    bool kept = !a->fresh && clock_mono_ms() - k->came_ms < keep_ms(o, k);
    a->kept |= kept;
    return kept;
}

// ---- questions ----

struct channel *
outer_directory(const struct auth_role *role)
{
    return role->bases.outer->directory;
}

static struct channel *
channel_of(const struct outer *o, uint8_t source)
{
    return source == USER_PAM ? o->pam : o->directory;
}

static void
send(struct outer *o, struct question *q)
{
    struct channel *c = channel_of(o, q->source);
    if (c == NULL || q->sent || q->sends == SENDS)
        return;
    channel_send(c, MESSAGE_DIRECTORY_ASK, buf_span(&q->packed), -1);
    q->sent = true;
    q->sends++;
}

static void
finish(struct outer *o, struct question *q, uint8_t verdict)
{
    struct ask ring;
    if (q->known != NULL) {
        q->known->question = NULL;
        q->known->answered = true;
        q->known->came_ms = clock_mono_ms();
        q->known->generation = o->generation[q->source];
        q->known->verdict = verdict;
    }
    ask_ring_move(&q->waiters, &ring);
    DL_DELETE(o->questions, q);
    o->count--;
    buf_wipe(&q->packed);
    free(q);
    ask_wake_all(&ring, verdict);
}

static void
on_sweep(void *arg)
{
    struct outer *o = arg;
    uint64_t now_ms = clock_mono_ms();
    // they are in the order of their age, and who is woken may ask again, or end others
    while (o->questions != NULL &&
           now_ms - o->questions->asked_ms > LIMIT_directory_ms + 1000)
        finish(o, o->questions, DIRECTORY_LATER);
    if (o->questions != NULL)
        timer_set(&o->sweep, SWEEP_MS);
}

// NULL: too many are under way.
static struct question *
question_new(struct outer *o, enum user_source source, struct span name, bool verify,
             struct span password, struct span remote)
{
    if (o->count >= LIMIT_directory_waiting)
        return NULL;
    struct question *q = calloc(1, sizeof *q);
    must(q != NULL);
    *q = (struct question){
        .id = ++o->last, .source = (uint8_t)source, .asked_ms = clock_mono_ms()};
    q->waiters.next = q->waiters.prev = &q->waiters;
    buf_init(&q->packed, LIMIT_channel_message);
    directory_ask_put(&q->packed, &(struct directory_ask){q->id, q->source, verify, name,
                                                          password, remote});
    must(!q->packed.over);
    DL_APPEND(o->questions, q);
    o->count++;
    send(o, q);
    if (!timer_is_set(&o->sweep))
        timer_set(&o->sweep, SWEEP_MS);
    return q;
}

static enum result
busy(struct fault *f)
{
    return fault_set(f, FAULT_UNAVAILABLE, "too many questions to user databases");
}

static enum result
wait_for(struct outer *o, struct known *k, struct ask *a, struct fault *f)
{
    if (a->waiting)  // a search that went on behind what it waits for
        return fault_set(f, FAULT_UNAVAILABLE, "a user database is asked");
    if (a->count++ >= LIMIT_directory_asks)
        return busy(f);
    if (k->question == NULL) {
        k->question =
            question_new(o, (enum user_source)k->key[0], span_of(k->key + 1, k->key_n - 1),
                         false, SPAN_NONE, SPAN_NONE);
        if (k->question == NULL)
            return busy(f);
        k->question->known = k;
    }
    ask_ring_add(&k->question->waiters, a);
    return fault_set(f, FAULT_UNAVAILABLE, "a user database is asked");
}

// The account is here, all that is judged is the other's.
static enum result
adopt(struct auth_role *role, const struct known *k, struct user *out, struct fault *f)
{
    enum user_source source = (enum user_source)k->key[0];
    enum result r =
        userdb_adopt(role->db, span_of(k->key + 1, k->key_n - 1), source, out, f);
    if (r != R_OK)
        return r;
    out->source = source;
    out->there = k->there;
    out->disabled |= k->disabled;
    out->hash_n = k->hash.n;
    memcpy(out->hash, k->hash.n > 0 ? k->hash.p : "", k->hash.n);
    memset(&out->scram, 0, sizeof out->scram);
    passwd_scram(user_hash(out), &out->scram);
    return R_OK;
}

enum result
outer_find(struct auth_role *role, enum user_source source, struct ask *a, struct span name,
           struct user *out, struct fault *f)
{
    struct outer *o = role->bases.outer;
    // whoever has one account there is to have one here
    if (!name_is_distinct(name))
        return R_NONE;
    struct known *k = known_get(o, source, name);
    if (!is_good(o, k, a))
        return wait_for(o, k, a, f);
    if (k->verdict == DIRECTORY_LATER)
        return fault_set(f, FAULT_UNAVAILABLE, "the user database '%s' cannot be asked",
                         user_source_name(source));
    return k->verdict == DIRECTORY_FOUND ? adopt(role, k, out, f) : R_NONE;
}

enum result
outer_verify(struct auth_role *role, const struct user *u, struct span password,
             struct span remote, struct ask *a, struct fault *f)
{
    struct question *q = question_new(role->bases.outer, u->source, name_span(&u->name),
                                      true, password, remote);
    if (q == NULL)
        return busy(f);
    ask_ring_add(&q->waiters, a);
    return R_OK;
}

// NULL: one of our own, or forgotten.
static const struct known *
known_of(struct auth_role *role, const struct user *u)
{
    return u->source == USER_OWN
               ? NULL
               : known_find(role->bases.outer, u->source, name_span(&u->name));
}

void
outer_texts(struct auth_role *role, const struct user *u, struct span *networks_out,
            struct span *groups_out)
{
    const struct known *k = known_of(role, u);
    *networks_out = k ? k->networks : SPAN_NONE;
    *groups_out = k ? k->groups : SPAN_NONE;
}

// Of what passwords are judged by, as the database has it; never 0.
uint64_t
outer_digest(struct auth_role *role, const struct user *u)
{
    const struct known *k = known_of(role, u);
    return k == NULL ? 1 : hash_keyed(k->hash) | 1;
}

uint64_t
outer_identity_digest(struct auth_role *role, const struct user *u)
{
    const struct known *k = known_of(role, u);
    return k == NULL
               ? 1
               : (hash_keyed(k->groups) ^ hash_keyed(span_of(&k->quota, sizeof k->quota))) |
                     1;
}

bool
outer_quota(struct auth_role *role, const struct user *u, struct user_quota *out)
{
    const struct known *k = known_of(role, u);
    bool own = u->source == USER_OWN;
    bool known = own || (k != NULL && k->answered && k->verdict == DIRECTORY_FOUND);
    *out = known && !own ? k->quota : USER_QUOTA_UNSAID;
    return known;
}

// ---- answers ----

static void
tell_of_kept(struct outer *o, struct span name)
{
    struct fault f;
    if (userdb_is_kept(o->role->db, name, &f) == R_OK)
        log_info("auth", "Deleted here, known elsewhere", log_user(name),
                 log_why("until `posthorn user undelete`"));
}

// A hash that cannot be used is none; a list of networks that cannot be read lets nobody in.
static uint8_t
take_found(struct outer *o, struct known *k, const struct directory_answer *m)
{
    struct fault f;
    struct buf hash, networks;
    uint8_t verdict = m->verdict;
    struct field who = log_user(span_of(k->key + 1, k->key_n - 1));
    buf_init(&hash, LIMIT_password_hash);
    buf_init(&networks, LIMIT_user_networks);
    if (m->hash.n > 0 && password_check(m->hash, &hash, &f) != R_OK) {
        log_error("auth", "a password hash cannot be used", who, log_fault(&f));
        buf_reset(&hash);
    }
    if (nets_check(m->networks, &networks, &f) != R_OK) {
        log_error("auth", "networks of a user cannot be read", who, log_fault(&f));
        verdict = DIRECTORY_LATER;
    }
    tell_of_kept(o, span_of(k->key + 1, k->key_n - 1));
    remember(o, k, m, buf_span(&hash), buf_span(&networks));
    buf_wipe(&hash);
    buf_done(&networks);
    return verdict;
}

static void
take_answer(struct outer *o, const struct directory_answer *m)
{
    struct question *q = o->questions;
    while (q != NULL && q->id != m->request)
        q = q->next;
    if (q == NULL)
        return;  // it came too late
    uint8_t verdict = m->verdict;
    if (q->known != NULL && verdict == DIRECTORY_FOUND)
        verdict = take_found(o, q->known, m);
    else if (q->known != NULL && verdict == DIRECTORY_NONE)
        forget_texts(q->known);
    finish(o, q, verdict);
}

// One that is asked in vain twice is not asked a third time: what ended the role may be in it.
static void
lose(struct outer *o, struct channel **c)
{
    struct question *q, *next;
    bool pam = c == &o->pam;
    channel_close(c);
    if (!pam)
        listing_lost(o->role);
    DL_FOREACH_SAFE(o->questions, q, next)
    {
        q->sent = (q->source == USER_PAM) == pam ? false : q->sent;
    }
}

static void
on_end(struct channel *c, void *arg)
{
    struct outer *o = arg;
    lose(o, c == o->pam ? &o->pam : &o->directory);
}

static enum result
take(struct outer *o, uint16_t type, struct span body)
{
    struct directory_answer answer;
    struct directory_changed changed;
    if (type == MESSAGE_DIRECTORY_NAMES)
        return listing_take(o->role, body);
    if (type == MESSAGE_DIRECTORY_ANSWER && directory_answer_get(body, &answer) == R_OK) {
        take_answer(o, &answer);
        return R_OK;
    }
    if (type != MESSAGE_DIRECTORY_CHANGED ||
        directory_changed_get(body, &changed) != R_OK || changed.source >= USER_SOURCES)
        return R_FAIL;
    o->generation[changed.source]++;
    recheck_all(o->role);
    return R_OK;
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    if (fd < 0 && take(arg, type, body) == R_OK)
        return;
    if (fd >= 0)
        close(fd);
    log_error("auth", "a message of directory is malformed",
              field_number("message", "message=%", type));
    on_end(c, arg);
}

void
outer_link(struct auth_role *role, struct span peer, int fd)
{
    struct outer *o = role->bases.outer;
    if (o == NULL) {
        close(fd);
        return;
    }
    struct channel **c = span_eq(peer, SPAN("pam")) ? &o->pam : &o->directory;
    struct question *q;
    if (*c != NULL)
        lose(o, c);
    *c = channel_new(fd, on_message, on_end, o);
    DL_FOREACH(o->questions, q)
    send(o, q);
}

// ---- life ----

void
outer_settings(struct auth_role *role, const struct config *c)
{
    if (role->bases.outer != NULL)
        role->bases.outer->keep_ms = c->userdb_cache * 1000;
}

void
outer_open(struct auth_role *role)
{
    const struct config *c = role->start->config;
    bool some = false;
    role->bases.n = 0;
    for (size_t i = 0; i < c->user_databases.n; i++) {
        enum user_source source = USER_OWN;
        must(user_source_from(span_str(c->user_databases.items[i]), &source) == R_OK);
        role->bases.order[role->bases.n++] = source;
        some |= source != USER_OWN;
    }
    if (!some)
        return;
    struct outer *o = calloc(1, sizeof *o);
    must(o != NULL);
    o->role = role;
    timer_init(&o->sweep, on_sweep, o);
    role->bases.outer = o;
    outer_settings(role, c);
}

// Nobody waits any longer: the logins are gone.
void
outer_close(struct auth_role *role)
{
    struct outer *o = role->bases.outer;
    struct known *k, *next;
    if (o == NULL)
        return;
    while (o->questions != NULL)
        finish(o, o->questions, DIRECTORY_LATER);
    timer_clear(&o->sweep);
    channel_close(&o->directory);
    channel_close(&o->pam);
    HASH_ITER(hh, o->known, k, next)
    known_free(o, k);
    free(o);
    role->bases.outer = NULL;
}
