#include "gate/ticket_keys.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { NOW = 1000 * TICKET_HOUR_S, PLAIN = 32 };

struct ticket {
    unsigned char name[TICKET_NAME], iv[16], sealed[PLAIN + 16], mac[32];
    size_t mac_n;
};

static const unsigned char plain[PLAIN] = "what a session is resumed from";

static EVP_MAC_CTX *
mac_new(void)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *m = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);
    return m;
}

static void
mac_end(EVP_MAC_CTX *m, const struct ticket *t, unsigned char out[32])
{
    size_t n;
    assert_int_equal(EVP_MAC_init(m, NULL, 0, NULL), 1);
    assert_int_equal(EVP_MAC_update(m, t->sealed, PLAIN), 1);
    assert_int_equal(EVP_MAC_final(m, out, &n, 32), 1);
    EVP_MAC_CTX_free(m);
}

static struct ticket
seal(struct ticket_keys *k, int64_t now)
{
    struct ticket t = {0};
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    EVP_MAC_CTX *m = mac_new();
    int n;
    assert_int_equal(ticket_keys_seal(k, now, t.name, t.iv, c, m), 1);
    assert_int_equal(EVP_EncryptUpdate(c, t.sealed, &n, plain, PLAIN), 1);
    mac_end(m, &t, t.mac);
    EVP_CIPHER_CTX_free(c);
    return t;
}

// What opening says; when it opens, MAC and text must be right.
static int
opened(struct ticket_keys *k, int64_t now, const struct ticket *t)
{
    unsigned char text[PLAIN + 16], mac[32];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    EVP_MAC_CTX *m = mac_new();
    int n, told = ticket_keys_open(k, now, t->name, t->iv, c, m);
    if (told <= 0) {
        EVP_MAC_CTX_free(m);
    } else {
        mac_end(m, t, mac);
        assert_memory_equal(mac, t->mac, sizeof mac);
        EVP_CIPHER_CTX_set_padding(c, 0);
        assert_int_equal(EVP_DecryptUpdate(c, text, &n, t->sealed, PLAIN), 1);
        assert_memory_equal(text, plain, (size_t)n);
    }
    EVP_CIPHER_CTX_free(c);
    return told;
}

// A ticket opens at every gate, in its hour and the next, then no more.
static void
test_gates_and_hours(void **state)
{
    unsigned char seed[TICKET_SEED];
    (void)state;
    ticket_seed_new(seed, NOW);
    struct ticket_keys *one = ticket_keys_new(seed), *two = ticket_keys_new(seed);
    struct ticket t = seal(one, NOW);
    assert_int_equal(opened(two, NOW + 10, &t), 1);
    assert_int_equal(opened(two, NOW + TICKET_HOUR_S, &t), 2);
    assert_int_equal(opened(two, NOW + 2 * TICKET_HOUR_S, &t), 0);
    assert_int_equal(opened(two, NOW, &t), 0);  // forgotten, whatever the clock says
    ticket_keys_free(&one);
    ticket_keys_free(&two);
}

// A gate that starts later opens tickets of this hour and the last, and of no earlier one.
static void
test_later_gate(void **state)
{
    unsigned char seed[TICKET_SEED];
    (void)state;
    ticket_seed_new(seed, NOW);
    struct ticket_keys *old = ticket_keys_new(seed);
    struct ticket first = seal(old, NOW), second = seal(old, NOW + TICKET_HOUR_S),
                  third = seal(old, NOW + 2 * TICKET_HOUR_S);
    ticket_seed_advance(seed, NOW + 2 * TICKET_HOUR_S);
    struct ticket_keys *fresh = ticket_keys_new(seed);
    assert_int_equal(opened(fresh, NOW + 2 * TICKET_HOUR_S, &third), 1);
    assert_int_equal(opened(fresh, NOW + 2 * TICKET_HOUR_S, &second), 2);
    assert_int_equal(opened(fresh, NOW + 2 * TICKET_HOUR_S, &first), 0);
    ticket_keys_free(&old);
    ticket_keys_free(&fresh);
}

static void
test_strange_name(void **state)
{
    unsigned char seed[TICKET_SEED], other[TICKET_SEED];
    (void)state;
    ticket_seed_new(seed, NOW);
    ticket_seed_new(other, NOW);
    struct ticket_keys *mine = ticket_keys_new(seed), *theirs = ticket_keys_new(other);
    struct ticket t = seal(theirs, NOW);
    assert_int_equal(opened(mine, NOW, &t), 0);
    ticket_keys_free(&mine);
    ticket_keys_free(&theirs);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gates_and_hours),
        cmocka_unit_test(test_later_gate),
        cmocka_unit_test(test_strange_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
