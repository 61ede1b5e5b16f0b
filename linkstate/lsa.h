/* linkstate/lsa.h — link-state advertisement: a record's signed header, and the certificate in it.
 *
 * Wire format: docs/protocol.md, "Advertisement". The header alone is proof: it carries the version,
 * the digest of the body and the signature of the originating group, whose key the organization has
 * certified for that name. A router that forwards it can change nothing. A refresh is a header with a
 * higher sequence number and the same body digest: the body does not travel again.
 * Lifetimes: spans borrow from the bytes that were parsed. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "linkstate/crypto.h"
#include "linkstate/record.h"

enum { LSA_HEADER_MAX = 1024, CERT_MAX = 512 };

struct ls_version {
    uint32_t major; /* configuration or topology */
    uint32_t minor; /* UP and DOWN */
    uint32_t user;  /* members, master */
    /* Rises with every header that the group signs. Its date in seconds since 1970, or, where that would not
     * rise, one more than before: the signature tells by it how old the record is. */
    uint64_t seq;
};
/* <0, 0, >0: major, minor, user, then seq. */
int ls_version_cmp(const struct ls_version *a, const struct ls_version *b);

struct ls_cert { /* "the organization says: this key speaks for this group" */
    struct span organization, group;
    uint8_t key[LS_KEY_LEN];
    uint64_t serial; /* rises when a key is rotated */
    struct span bytes;
};
struct lsa {
    struct span group;
    struct ls_version version;
    uint32_t body_len;
    uint8_t body_digest[LS_DIGEST_LEN];
    struct ls_cert cert;
    struct span header; /* all bytes, signature included */
};

/* Form only: lengths, ranges, names; nothing is verified. Rejects trailing bytes. */
enum err lsa_parse(struct span header, struct lsa *ret) MUST_USE;     /* ERR_PARSE, ERR_TOOBIG */
enum err cert_parse(struct span bytes, struct ls_cert *ret) MUST_USE; /* ERR_PARSE, ERR_TOOBIG */
/* ERR_PARSE, ERR_DENIED: not signed with that key. */
enum err cert_verify(struct span bytes, const uint8_t org_key[LS_KEY_LEN],
                     const struct ls_crypto *crypto) MUST_USE;
/* Certificate by the organization's key for this organization and group, signature by the certified key.
 * known: a certificate that has passed before (or empty); the same bytes are not checked again. */
enum err lsa_verify(const struct lsa *a, struct span organization, const uint8_t org_key[LS_KEY_LEN],
                    struct span known, const struct ls_crypto *crypto) MUST_USE; /* ERR_DENIED */
/* ERR_PARSE when body does not match the header's length and digest. */
enum err lsa_check_body(const struct lsa *a, struct span body, const struct ls_crypto *crypto) MUST_USE;
bool lsa_same_body(const struct lsa *a, const struct lsa *b); /* by their digests */
bool lsa_same_key(const struct lsa *a, const struct lsa *b);  /* the group's, that signs */

/* Signs with the group's key (crypto->sign). ERR_DENIED: no key; ERR_TOOBIG, ERR_PARSE. */
enum err lsa_seal(struct span group, const struct ls_version *version, struct span body, struct span cert,
                  const struct ls_crypto *crypto, struct buf *out) MUST_USE;
/* Signs with the organization's key (crypto->sign). */
enum err cert_seal(struct span organization, struct span group, const uint8_t key[LS_KEY_LEN],
                   uint64_t serial, const struct ls_crypto *crypto, struct buf *out) MUST_USE;
