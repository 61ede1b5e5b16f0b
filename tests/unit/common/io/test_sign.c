/* tests/unit/common/io/test_sign.c — against the vectors of RFC 8032 7.1 and RFC 7748 5.2. */
#include "common/io/sign.h"
#include "tests/unit/check.h"

static void bytes_of(const char *hex, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        out[i] = (uint8_t)v;
    }
}

static void test_sign__ed25519_as_in_the_rfc(void **state)
{
    uint8_t secret[32], want_key[32], key[32], want_sig[64], sig[64];
    (void)state;
    bytes_of("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", secret, 32);
    bytes_of("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", want_key, 32);
    bytes_of("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
             "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
             want_sig, 64);
    assert_true(sign_public(SIGN_ED25519, secret, key));
    assert_memory_equal(key, want_key, 32);
    assert_true(sign_bytes(secret, SPAN("\x72"), sig));
    assert_memory_equal(sig, want_sig, 64);
    assert_true(sign_verify(key, SPAN("\x72"), sig));
    assert_false(sign_verify(key, SPAN("\x73"), sig));
    sig[3] ^= 1;
    assert_false(sign_verify(key, SPAN("\x72"), sig));
}

/* RFC 7748 5.2: after one iteration. */
static void test_sign__x25519_as_in_the_rfc(void **state)
{
    uint8_t secret[32] = {9}, want[32], key[32];
    (void)state;
    bytes_of("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", want, 32);
    assert_true(sign_public(SIGN_X25519, secret, key));
    assert_memory_equal(key, want, 32);
}

static void test_sign__sha256(void **state)
{
    uint8_t want[32], digest[32];
    (void)state;
    bytes_of("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", want, 32);
    assert_true(sign_sha256(SPAN("abc"), digest));
    assert_memory_equal(digest, want, 32);
}

static void test_sign__pairs_differ(void **state)
{
    uint8_t a[32], b[32], key[32], other[32];
    (void)state;
    assert_true(sign_keypair(SIGN_ED25519, a, key));
    assert_true(sign_keypair(SIGN_ED25519, b, other));
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(key, other, 32);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_sign__ed25519_as_in_the_rfc),
                     cmocka_unit_test(test_sign__x25519_as_in_the_rfc), cmocka_unit_test(test_sign__sha256),
                     cmocka_unit_test(test_sign__pairs_differ));
}
