#include "auth/encode.h"
#include "auth/password.h"
#include "auth/scram.h"
#include "base/limits.h"

#include <setjmp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdarg.h>
#include <cmocka.h>

// Hashes of "pass word", made by `doveadm pw -s SCHEME -p 'pass word'` of Dovecot 2.3.19.
static const struct {
    const char *stored;
    enum password_cost want_cost;
} made_by_dovecot[] = {
    {"{SSHA}RizZcjQp85/5BxXRa43FRIy6PI3Ktcoy", PASSWORD_FAST},
    {"{ssha}RizZcjQp85/5BxXRa43FRIy6PI3Ktcoy", PASSWORD_FAST},
    {"{SSHA256}CPWcck68/SxOJbL9RzcFWk63NFDigz0+Te+v7KrMPYQ1yccS", PASSWORD_FAST},
    {"{SSHA512}wknrlW/U966kY+1Fr5DJC8Mof0wvAFYiw+8z/"
     "fxyJd3l86uFgcqkYSN5bgtVS5rRwXFBDyADtEsDSZFbDHiKD61te7Q=",
     PASSWORD_FAST},
    {"{SHA}2oguq15ANCGsJCWKX31fllwpyEk=", PASSWORD_FAST},
    {"{SHA256}eJgOJX9BJDf7+TQ3h7wA7FsQY2QpvAALKQEHM1sIl4Y=", PASSWORD_FAST},
    {"{SHA512}Nq7XWhQpjD4VwA82iHbXmY8NSz1w7/"
     "A84XtT9npPaxW+U8Dt41vjbL2JY3A7kd5cgXmFPhhROfO9ihvprNn13A==",
     PASSWORD_FAST},
    {"{SMD5}AoM3oZqdlJTZrMqBF0/LKhDCrLY=", PASSWORD_FAST},
    {"{PLAIN-MD5}4ac6430a17d0215b3052b15c879d48bc", PASSWORD_FAST},
    {"{LDAP-MD5}SsZDChfQIVswUrFch51IvA==", PASSWORD_FAST},
    {"{MD5-CRYPT}$1$CIVOuNJF$nWpOvCQq122GE9yYQGpq40", PASSWORD_SLOW},
    {"{SHA512-CRYPT}$6$AR887nFH1uQpKjgC$"
     "CHjktwTFMjRLiVyaxk4SUblC5WRj2cP2ExVRNpF1vqAsEUnXIPZoz9w7t95kINNtA0zzX2"
     "ClIOCixcU2WgyK60",
     PASSWORD_SLOW},
    {"{SHA256-CRYPT}$5$FPOFLBnWrDc.rWAY$agrQo1zh6d/pQd7KY2MlrOB9yP.fkXQiHYjQ923A2O2",
     PASSWORD_SLOW},
    {"{CRYPT}$5$FPOFLBnWrDc.rWAY$agrQo1zh6d/pQd7KY2MlrOB9yP.fkXQiHYjQ923A2O2",
     PASSWORD_SLOW},
    {"$5$FPOFLBnWrDc.rWAY$agrQo1zh6d/pQd7KY2MlrOB9yP.fkXQiHYjQ923A2O2", PASSWORD_SLOW},
    {"{SHA256-CRYPT.B64}"
     "JDUkRkpQQ0IzcjkvZm16S0JzdSRweGZnWXNRTmlxREFVY2JkaG4zQ1Yzay5EWlNCRlUvUlVLb21NeWNyT28y",
     PASSWORD_SLOW},
    {"{BLF-CRYPT}$2y$05$ovDcgOz5RAVYTkmN0gHykOmu6GpCWAUKNE1fcXnxg5lIKvwvW1Ggm",
     PASSWORD_SLOW},
    {"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$FR3+EJxMTWR466axSiaZKA$"
     "HDNJDXI88FZxwKxIyHs7CvyB5jhyaZuQC9BZ2uemR2o",
     PASSWORD_SLOW},
    {"{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$u3Gw6IEjWjNfjXoswYgF4A$3adlZ9aSzuOX1cCo7c9AD+"
     "9/ciOHA/eVEK2jvb5fTKM",
     PASSWORD_SLOW},
    {"{PBKDF2}$1$8V3rhc6i6sYWncgz$5000$496b021ec8d534102880984d56ac5962d29987ca",
     PASSWORD_SLOW},
    {"{SCRAM-SHA-256}4096,ktrfKy7IyoLPgNRRtECpww==,"
     "k1djuB4xPhZKTNSjXBqASHM8NMsVtBB6l0tfAquBStE=,"
     "CasWcJCw26j9cTx5zIgUL2XxPdgiC2LpDNYVFK6VxWM=",
     PASSWORD_SLOW},
    {"{DES-CRYPT}dIfh5sZ/dpfKs", PASSWORD_SLOW},
    {"{SSHA.HEX}10fc456c97891158c7d473c58700e6ee5df2e44fc9dad15e", PASSWORD_FAST},
    {"{PLAIN}pass word", PASSWORD_FAST},
    {"{CLEARTEXT}pass word", PASSWORD_FAST},
    {"{PLAIN.B64}cGFzcyB3b3Jk", PASSWORD_FAST},
};

static void
test_dovecot_hashes(void **state)
{
    (void)state;
    static const char *const wrong[] = {"pass wor", "pass word ", "Pass word", "x", ""};
    for (size_t i = 0; i < sizeof made_by_dovecot / sizeof made_by_dovecot[0]; i++) {
        struct buf stored;
        struct fault f = {0};
        buf_init(&stored, LIMIT_password_hash);
        if (password_check(span_str(made_by_dovecot[i].stored), &stored, &f))
            fail_msg("%s: %s", made_by_dovecot[i].stored, f.why);
        assert_int_equal(password_cost(buf_span(&stored)), made_by_dovecot[i].want_cost);
        if (password_verify(buf_span(&stored), SPAN("pass word"), &f))
            fail_msg("%s: %s", made_by_dovecot[i].stored, f.why);
        for (size_t w = 0; w < sizeof wrong / sizeof wrong[0]; w++) {
            bool des =
                strstr(made_by_dovecot[i].stored, "DES") != NULL;  // eight octets only
            if (des && w < 2)
                continue;
            assert_int_equal(password_verify(buf_span(&stored), span_str(wrong[w]), &f),
                             R_FAIL);
            assert_int_equal(f.kind, FAULT_AUTHFAILED);
        }
        assert_int_equal(password_verify(buf_span(&stored), SPAN("pass word\0x"), &f),
                         R_FAIL);
        buf_done(&stored);
    }
}

static void
test_refused_hashes(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "secret",
        "{}x",
        "{NOSUCH}x",
        "{PLAIN",
        "{PLAIN}",
        "{PLAIN.B65}eA==",
        "{SSHA}!!!",
        "{SSHA}AAAA",
        "{SHA}AAAA",
        "{PLAIN-MD5}4ac6",
        "{BLF-CRYPT}$6$x$y",
        "{BLF-CRYPT}$2y$31$ovDcgOz5RAVYTkmN0gHykOmu6GpCWAUKNE1fcXnxg5lIKvwvW1Ggm",
        "{SHA512-CRYPT}$6$rounds=99999999$saltsalt$abcdefgh",
        "{CRYPT}$9$saltsalt$x12345678",
        "{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=1$FR3+EJxMTWR466axSiaZKA$"
        "HDNJDXI88FZxwKxIyHs7CvyB5jhyaZuQC9BZ2uemR2o",
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=4$FR3+EJxMTWR466axSiaZKA$"
        "HDNJDXI88FZxwKxIyHs7CvyB5jhyaZuQC9BZ2uemR2o",
        "{ARGON2ID}$argon2i$v=19$m=65536,t=3,p=1$x$y",
        "{PBKDF2}$1$salt$0$496b021ec8d534102880984d56ac5962d29987ca",
        "{PBKDF2}$1$salt$4294967295$496b021ec8d534102880984d56ac5962d29987ca",
        "{PBKDF2}$1$salt$5000$496b",
        "{SCRAM-SHA-256}1,AAAA,AAAA,AAAA",
        "{CRYPT}$y$jZT$abcdefgh$abcdefgh",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf stored;
        struct fault f;
        buf_init(&stored, LIMIT_password_hash);
        if (password_check(span_str(rows[i]), &stored, &f) != R_FAIL)
            fail_msg("accepted: %s", rows[i]);
        assert_int_equal(f.kind, FAULT_BAD);
        assert_int_equal(stored.n, 0);
        buf_done(&stored);
    }
}

static void
test_own_hash(void **state)
{
    (void)state;
    struct buf stored;
    struct fault f;
    buf_init(&stored, LIMIT_password_hash);
    assert_int_equal(password_new(SPAN("gr\xc3\xbc\xc3\x9f dich"), &stored, &f), R_OK);
    assert_true(password_is_own(buf_span(&stored)));
    assert_int_equal(
        password_verify(buf_span(&stored), SPAN("gr\xc3\xbc\xc3\x9f dich"), &f), R_OK);
    assert_int_equal(password_verify(buf_span(&stored),
                                     SPAN("gru\xcc\x88\xc3\x9f\xc2\xa0"
                                          "dich"),
                                     &f),
                     R_OK);
    assert_int_equal(password_verify(buf_span(&stored), SPAN("gruss dich"), &f), R_FAIL);
    buf_reset(&stored);
    assert_int_equal(password_new(SPAN(""), &stored, &f), R_FAIL);
    assert_int_equal(stored.n, 0);
    buf_done(&stored);
}

// RFC 7677 section 3: user "user", password "pencil".
static void
test_scram_keys_of_rfc7677(void **state)
{
    (void)state;
    static const char auth_message[] = "n=user,r=rOprNGfwEbeRWgbNEkqO,r="
                                       "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                       "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r="
                                       "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    uint8_t salt[16], want[32], want_proof[32], signature[32], client_key[32],
        stored_key[32];
    size_t n = 0;
    struct scram_keys k;
    struct fault f;
    assert_int_equal(decode_base64(SPAN("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof salt, &n),
                     R_OK);
    assert_int_equal(
        scram_derive(SCRAM_SHA_256, SPAN("pencil"), 4096, span_of(salt, n), &k, &f), R_OK);
    assert_int_equal(decode_base64(SPAN("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
                                   want, sizeof want, &n),
                     R_OK);
    crypto_auth_hmacsha256_state s;
    crypto_auth_hmacsha256_init(&s, k.server_key, SCRAM_KEY_MAX);
    crypto_auth_hmacsha256_update(&s, (const uint8_t *)auth_message, strlen(auth_message));
    crypto_auth_hmacsha256_final(&s, signature);
    assert_memory_equal(signature, want, sizeof want);
    // The client's proof gives the stored key back.
    assert_int_equal(decode_base64(SPAN("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                                   want_proof, sizeof want_proof, &n),
                     R_OK);
    crypto_auth_hmacsha256_init(&s, k.stored_key, SCRAM_KEY_MAX);
    crypto_auth_hmacsha256_update(&s, (const uint8_t *)auth_message, strlen(auth_message));
    crypto_auth_hmacsha256_final(&s, signature);
    for (int i = 0; i < 32; i++)
        client_key[i] = signature[i] ^ want_proof[i];
    crypto_hash_sha256(stored_key, client_key, sizeof client_key);
    assert_memory_equal(stored_key, k.stored_key, SCRAM_KEY_MAX);
}

// RFC 5802 section 5: the same user, SCRAM-SHA-1; the server's signature is what the RFC says.
static void
test_scram_keys_of_rfc5802(void **state)
{
    (void)state;
    static const char auth_message[] =
        "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
        "s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
    uint8_t salt[16], want[20], got[20];
    unsigned got_n = 0;
    size_t n = 0;
    struct scram_keys k;
    struct fault f;
    assert_int_equal(decode_base64(SPAN("QSXCR+Q6sek8bf92"), salt, sizeof salt, &n), R_OK);
    assert_int_equal(
        scram_derive(SCRAM_SHA_1, SPAN("pencil"), 4096, span_of(salt, n), &k, &f), R_OK);
    assert_int_equal(
        decode_base64(SPAN("rmF9pqV8S7suAoZWja4dJRkFsKQ="), want, sizeof want, &n), R_OK);
    assert_non_null(HMAC(EVP_sha1(), k.server_key, 20, (const uint8_t *)auth_message,
                         sizeof auth_message - 1, got, &got_n));
    assert_int_equal(got_n, 20);
    assert_memory_equal(got, want, 20);
}

static void
test_scram_text(void **state)
{
    (void)state;
    struct scram_set set;
    struct fault f;
    assert_int_equal(scram_new(SPAN("secret"), &set, &f), R_OK);
    assert_true(scram_is_whole(&set));
    for (int i = 0; i < SCRAM_HASHES; i++) {
        enum scram_hash h = (enum scram_hash)i;
        const struct scram_keys k = set.of[h];
        struct scram_keys back;
        struct buf b;
        buf_init(&b, LIMIT_password_hash);
        assert_int_equal(k.iterations, SCRAM_ITERATIONS);
        scram_print(h, &k, &b);
        assert_int_equal(scram_parse(h, buf_span(&b), &back), R_OK);
        assert_memory_equal(&back, &k, sizeof k);
        assert_int_equal(scram_parse(h == SCRAM_SHA_1 ? SCRAM_SHA_256 : SCRAM_SHA_1,
                                     buf_span(&b), &back),
                         R_FAIL);
        assert_int_equal(scram_parse(h, span_slice(buf_span(&b), 0, b.n - 2), &back),
                         R_FAIL);
        buf_put_str(&b, ",x");
        assert_int_equal(scram_parse(h, buf_span(&b), &back), R_FAIL);
        buf_done(&b);
    }
}

static void
test_scram_decoy_is_stable(void **state)
{
    (void)state;
    const struct scram_keys like = {.iterations = 5000, .salt_n = 16};
    struct scram_keys a, b, c;
    scram_decoy(SCRAM_SHA_256, SPAN("secret"), SPAN("ann"), &like, &a);
    scram_decoy(SCRAM_SHA_256, SPAN("secret"), SPAN("ann"), &like, &b);
    scram_decoy(SCRAM_SHA_1, SPAN("secret"), SPAN("ann"), &like, &c);
    assert_memory_not_equal(a.salt, c.salt, 16);
    scram_decoy(SCRAM_SHA_256, SPAN("secret"), SPAN("bob"), &like, &c);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_not_equal(a.salt, c.salt, 16);
    assert_int_equal(a.iterations, 5000);
    assert_int_equal(a.salt_n, 16);
}

int
main(void)
{
    password_warm();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dovecot_hashes),
        cmocka_unit_test(test_refused_hashes),
        cmocka_unit_test(test_own_hash),
        cmocka_unit_test(test_scram_keys_of_rfc7677),
        cmocka_unit_test(test_scram_keys_of_rfc5802),
        cmocka_unit_test(test_scram_text),
        cmocka_unit_test(test_scram_decoy_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
