/* common/io/sign.h — Ed25519 signatures (RFC 8032), X25519 keys (RFC 7748), SHA-256: OpenSSL's, as raw bytes.
 *
 * Threads: any; nothing is kept between calls. */
#pragma once
#include "common/attr.h"
#include "common/span.h"

enum { SIGN_KEY_LEN = 32, SIGN_SIG_LEN = 64, SIGN_DIGEST_LEN = 32 };
enum sign_kind { SIGN_ED25519, SIGN_X25519 };

/* From the kernel's randomness. false: there is none, or no memory. */
bool sign_keypair(enum sign_kind kind, uint8_t ret_secret[SIGN_KEY_LEN],
                  uint8_t ret_public[SIGN_KEY_LEN]) MUST_USE;
bool sign_public(enum sign_kind kind, const uint8_t secret[SIGN_KEY_LEN],
                 uint8_t ret_public[SIGN_KEY_LEN]) MUST_USE;
bool sign_bytes(const uint8_t secret[SIGN_KEY_LEN], struct span bytes,
                uint8_t ret_sig[SIGN_SIG_LEN]) MUST_USE;
bool sign_verify(const uint8_t key[SIGN_KEY_LEN], struct span bytes,
                 const uint8_t sig[SIGN_SIG_LEN]) MUST_USE;
bool sign_sha256(struct span bytes, uint8_t ret[SIGN_DIGEST_LEN]) MUST_USE;
