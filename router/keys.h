/* router/keys.h — the keys of an organization, a group and a router, in files that only their owner reads.
 *
 *   organization  Ed25519  certifies group keys; needed by nobody but `bridgehead keys`, best kept off-line
 *   group         Ed25519  signs the group's link-state record; holds its certificate once it has one
 *   transport     X25519   CURVE: encrypts and authenticates what routers say to each other
 *
 * A key file is text, a name and a value a line; secrets leave it only into memory that is wiped. Files are
 * made with mode 0600 and replaced in one step. Threads: any. */
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/io/sign.h"
#include "linkstate/lsa.h"

enum key_kind { KEY_ORGANIZATION, KEY_GROUP, KEY_TRANSPORT, KEY__COUNT };
const char *key_kind_name(enum key_kind k); /* "organization" */

enum { KEY_FILE_MAX = 8192, KEY_TEXT_LEN = 2 * SIGN_KEY_LEN, KEY_PRINT_LEN = 39 };

struct key_file {
    enum key_kind kind;
    char organization[RECORD_NAME_MAX + 1]; /* "" for transport keys */
    char group[RECORD_NAME_MAX + 1];        /* "" but for group keys */
    uint8_t secret[SIGN_KEY_LEN], public_[SIGN_KEY_LEN];
    uint8_t cert_bytes[CERT_MAX]; /* group keys; cert_len 0: not certified yet */
    size_t cert_len;
};
/* ERR_NOTFOUND, ERR_IO, ERR_DENIED (others can read it), ERR_PARSE; ec says what to do. */
enum err key_file_read(const char *path, struct key_file *ret, struct errctx *ec) MUST_USE;
/* A certificate in it must name this key and these names; who signed it is key_check_certificate()'s. */
enum err key_file_parse(struct span text, struct key_file *ret, struct errctx *ec) MUST_USE;
enum err key_file_emit(const struct key_file *k, struct buf *out) MUST_USE;
/* replace false: ERR_EXISTS when there is such a file. */
enum err key_file_write(const char *path, const struct key_file *k, bool replace, struct errctx *ec) MUST_USE;
void key_file_wipe(struct key_file *k);

/* A new pair; the names are checked. ERR_PARSE, ERR_IO (no randomness). */
enum err key_make(enum key_kind kind, struct span organization, struct span group, struct key_file *ret,
                  struct errctx *ec) MUST_USE;
/* Puts a certificate of org's into k; serial must be above that of the certificate it has. */
enum err key_certify(struct key_file *k, const struct key_file *org, uint64_t serial,
                     struct errctx *ec) MUST_USE;
/* The certificate for somebody else's public key. */
enum err key_certificate(const struct key_file *org, struct span group, const uint8_t key[SIGN_KEY_LEN],
                         uint64_t serial, struct buf *out, struct errctx *ec) MUST_USE;
/* Whether bytes certify k under org_key: ERR_PARSE, ERR_DENIED. */
enum err key_check_certificate(const struct key_file *k, struct span bytes,
                               const uint8_t org_key[SIGN_KEY_LEN], struct errctx *ec) MUST_USE;
uint64_t key_serial(const struct key_file *k); /* of its certificate; 0: none */

/* A public key as 64 hexadecimal digits, and what people compare: "1f2e-...", 8 groups of 4 digits of its
 * SHA-256. */
void key_text(const uint8_t key[SIGN_KEY_LEN], char ret[KEY_TEXT_LEN + 1]);
bool key_text_parse(struct span text, uint8_t ret[SIGN_KEY_LEN]);
void key_print(const uint8_t key[SIGN_KEY_LEN], char ret[KEY_PRINT_LEN + 1]);

/* What the engine asks for, with the secret of a group key (which must stay while it is used). */
void key_crypto(const struct key_file *group, struct ls_crypto *ret);
