#include "common/io/sign.h"

/* OpenSSL has a type of this name; ours keeps it. */
#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#undef ERR_STATE

static int type_of(enum sign_kind kind)
{
    return kind == SIGN_ED25519 ? EVP_PKEY_ED25519 : EVP_PKEY_X25519;
}

static bool raw_public(EVP_PKEY *key, uint8_t out[SIGN_KEY_LEN])
{
    size_t n = SIGN_KEY_LEN;
    return EVP_PKEY_get_raw_public_key(key, out, &n) == 1 && n == SIGN_KEY_LEN;
}

bool sign_keypair(enum sign_kind kind, uint8_t ret_secret[SIGN_KEY_LEN], uint8_t ret_public[SIGN_KEY_LEN])
{
    EVP_PKEY *key = NULL;
    size_t n = SIGN_KEY_LEN;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(type_of(kind), NULL);
    bool ok = ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &key) == 1 &&
              EVP_PKEY_get_raw_private_key(key, ret_secret, &n) == 1 && n == SIGN_KEY_LEN &&
              raw_public(key, ret_public);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

bool sign_public(enum sign_kind kind, const uint8_t secret[SIGN_KEY_LEN], uint8_t ret_public[SIGN_KEY_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(type_of(kind), NULL, secret, SIGN_KEY_LEN);
    bool ok = key != NULL && raw_public(key, ret_public);
    EVP_PKEY_free(key);
    return ok;
}

bool sign_bytes(const uint8_t secret[SIGN_KEY_LEN], struct span bytes, uint8_t ret_sig[SIGN_SIG_LEN])
{
    size_t n = SIGN_SIG_LEN;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, SIGN_KEY_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key != NULL && ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(ctx, ret_sig, &n, (const unsigned char *)bytes.ptr, bytes.len) == 1 &&
              n == SIGN_SIG_LEN;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

bool sign_verify(const uint8_t key_bytes[SIGN_KEY_LEN], struct span bytes, const uint8_t sig[SIGN_SIG_LEN])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key_bytes, SIGN_KEY_LEN);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = key != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(ctx, sig, SIGN_SIG_LEN, (const unsigned char *)bytes.ptr, bytes.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

bool sign_sha256(struct span bytes, uint8_t ret[SIGN_DIGEST_LEN])
{
    unsigned n = SIGN_DIGEST_LEN;
    return EVP_Digest(bytes.ptr, bytes.len, ret, &n, EVP_sha256(), NULL) == 1 && n == SIGN_DIGEST_LEN;
}
