/* Imitated signatures: as easily made as forged, but different for every key and text. */
#include "linkstate/sim_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ORG = INT32_MAX /* no group has this number */ };

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

void sim_hash(void *self, struct span bytes, uint8_t ret[LS_DIGEST_LEN])
{
    (void)self;
    uint64_t lanes[4] = {bytes.len, 0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u, 0x8cb92ba72f3d8dd7u};
    for (size_t i = 0; i < bytes.len; i += 8) {
        uint64_t word = 0;
        size_t n = bytes.len - i < 8 ? bytes.len - i : 8;
        memcpy(&word, bytes.ptr + i, n);
        uint64_t *lane = &lanes[i / 8 % 4];
        *lane = mix(*lane + word) * 3 + i;
    }
    for (int i = 0; i < 4; i++)
        lanes[i] = mix(lanes[i] ^ mix(lanes[(i + 1) % 4]));
    memcpy(ret, lanes, LS_DIGEST_LEN);
}

static void sim_key(uint32_t group, uint8_t ret[LS_KEY_LEN])
{
    char name[32];
    int n = snprintf(name, sizeof name, "key %" PRIu32, group);
    sim_hash(NULL, span_of(name, (size_t)n), ret);
}

static void imitate(const uint8_t key[LS_KEY_LEN], struct span bytes, uint8_t sig[LS_SIG_LEN])
{
    uint8_t both[2 * LS_DIGEST_LEN];
    sim_hash(NULL, bytes, both);
    memcpy(both + LS_DIGEST_LEN, key, LS_KEY_LEN);
    sim_hash(NULL, span_of((const char *)both, sizeof both), sig);
    memcpy(sig + LS_DIGEST_LEN, both, LS_DIGEST_LEN);
}

static bool sim_verify(void *self, const uint8_t key[LS_KEY_LEN], struct span bytes,
                       const uint8_t sig[LS_SIG_LEN])
{
    uint8_t want[LS_SIG_LEN];
    (void)self;
    imitate(key, bytes, want);
    return memcmp(want, sig, sizeof want) == 0;
}

static bool sim_sign(void *self, struct span bytes, uint8_t ret[LS_SIG_LEN])
{
    uint8_t key[LS_KEY_LEN];
    sim_key(*(const uint32_t *)self, key);
    imitate(key, bytes, ret);
    return true;
}

void sim_crypto(struct ls_crypto *ret, uint32_t *group)
{
    *ret = (struct ls_crypto){sim_hash, sim_verify, sim_sign, group};
}

void sim_org_key(uint8_t ret[LS_KEY_LEN])
{
    sim_key(ORG, ret);
}

void sim_cert(uint32_t group, struct span name, struct buf *out)
{
    uint8_t key[LS_KEY_LEN];
    uint32_t org = ORG;
    struct ls_crypto crypto;
    sim_crypto(&crypto, &org);
    sim_key(group, key);
    (void)!cert_seal(SPAN("sim"), name, key, 1, &crypto, out);
}
