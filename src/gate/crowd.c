#include "gate/crowd.h"
#include "base/hash.h"
#include <netinet/in.h>

#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "base/table.h"
#include <utlist.h>

_Static_assert(sizeof(struct crowd_member *) <= 8, "a member's own key");

struct crowd_key {
    uint16_t family;
    unsigned char octets[8];
};

struct crowd_place {
    struct crowd_key key;
    struct crowd_member *members;  // oldest first
    unsigned count;
    UT_hash_handle hh;
};

static struct crowd_key
key_of(const struct sockaddr_storage *address)
{
    struct crowd_key k;
    memset(&k, 0, sizeof k);  // padding is hashed too
    k.family = address->ss_family;
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    if (k.family == AF_INET)
        memcpy(k.octets, &v4->sin_addr, 4);
    else if (k.family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        memcpy(k.octets, v6->sin6_addr.s6_addr + 12, 4);
    else if (k.family == AF_INET6)
        memcpy(k.octets, v6->sin6_addr.s6_addr, 8);
    if (k.family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        k.family = AF_INET;
    return k;
}

static struct crowd_key
own_key(const struct crowd_member *m)
{
    struct crowd_key k;
    memset(&k, 0, sizeof k);
    k.family = UINT16_MAX;
    memcpy(k.octets, &m, sizeof m);
    return k;
}

static struct crowd_place *
place_find(const struct crowd *c, struct crowd_key k)
{
    struct crowd_place *p;
    HASH_FIND(hh, c->places, &k, sizeof k, p);
    return p;
}

static struct crowd_place *
place_get(struct crowd *c, struct crowd_key k)
{
    struct crowd_place *p = place_find(c, k);
    if (p != NULL)
        return p;
    p = calloc(1, sizeof *p);
    must(p != NULL);
    p->key = k;
    HASH_ADD(hh, c->places, key, sizeof p->key, p);
    return p;
}

void
crowd_init(struct crowd *c, unsigned max, unsigned per_address_max)
{
    *c = (struct crowd){.max = max, .per_address_max = per_address_max};
}

void
crowd_share(struct crowd *c, struct crowd_counts *counts, unsigned gate, unsigned gates)
{
    c->counts = counts;
    c->gate = gate;
    c->gates = gates;
    crowd_counts_clear(counts, gate);
}

static void
tell_others(struct crowd *c, const struct crowd_key *key, int sign)
{
    if (c->counts != NULL)
        crowd_counts_add(c->counts, c->gate, span_of(key, sizeof *key), sign);
}

void
crowd_join(struct crowd *c, struct crowd_member *m, const struct sockaddr_storage *address)
{
    m->place = place_get(c, address != NULL ? key_of(address) : own_key(m));
    m->place->count++;
    tell_others(c, &m->place->key, 1);
    c->count++;
    DL_APPEND2(m->place->members, m, place_older, place_newer);
    DL_APPEND2(c->oldest, m, older, newer);
}

void
crowd_leave(struct crowd *c, struct crowd_member *m)
{
    struct crowd_place *p = m->place;
    if (p == NULL)
        return;
    m->place = NULL;
    tell_others(c, &p->key, -1);
    DL_DELETE2(p->members, m, place_older, place_newer);
    DL_DELETE2(c->oldest, m, older, newer);
    c->count--;
    if (--p->count > 0)
        return;
    HASH_DEL(c->places, p);
    free(p);
}

static bool
is_full(const struct crowd *c, const struct crowd_place *p)
{
    if (p == NULL || c->counts == NULL)
        return p != NULL && p->count >= c->per_address_max;
    unsigned reserve = c->per_address_max / (4 * c->gates);
    return p->count >= (reserve > 0 ? reserve : 1) &&
           p->count + crowd_counts_elsewhere(c->counts, c->gate, c->gates,
                                             span_of(&p->key, sizeof p->key)) >=
               c->per_address_max;
}

struct crowd_member *
crowd_surplus(const struct crowd *c, const struct sockaddr_storage *address)
{
    struct crowd_place *p = address != NULL ? place_find(c, key_of(address)) : NULL;
    if (is_full(c, p))
        return p->members;
    return c->count >= c->max ? c->oldest : NULL;
}
