/* linkstate/crypto.h — the three primitives that the engine asks for; common/io has them from OpenSSL,
 * simulations may pass cheaper ones. Ed25519 (RFC 8032) keys and signatures, SHA-256 digests. */
#pragma once
#include "common/attr.h"
#include "common/span.h"

enum { LS_KEY_LEN = 32, LS_SIG_LEN = 64, LS_DIGEST_LEN = 32 };

struct ls_crypto {
    void (*hash)(void *self, struct span bytes, uint8_t ret[LS_DIGEST_LEN]);
    bool (*verify)(void *self, const uint8_t key[LS_KEY_LEN], struct span bytes,
                   const uint8_t sig[LS_SIG_LEN]);
    /* With this group's private key; false: the key is not available. */
    bool (*sign)(void *self, struct span bytes, uint8_t ret_sig[LS_SIG_LEN]);
    void *self;
};
