/* tests/unit/common/io/certs.h — certificates for one run of a test, in a directory of its own:
 * ca.pem, mx.pem + mx.key (mx.example.org, *.wild.example.org, 127.0.0.1), old.pem (expired, same key),
 * self.pem (signed by nobody), other.pem (other.example.org alone, same key), address.pem (127.0.0.1 alone).
 */
#pragma once
#include "tests/unit/check.h"

#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
#include <stdlib.h>
#include <unistd.h>

struct certs {
    char dir[64], ca[96], mx[96], mx_key[96], old[96], self[96], other[96], address[96];
};

static inline void certs_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(x, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static inline X509 *certs_make(const char *cn, EVP_PKEY *key, const X509 *issuer, EVP_PKEY *signer,
                               const char *names, long valid_s)
{
    static long serial;
    X509 *x = X509_new();
    X509_NAME *subject = X509_get_subject_name(x);
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x), valid_s);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(x, issuer == NULL ? subject : X509_get_subject_name(issuer));
    if (names == NULL)
        certs_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    else
        certs_extension(x, NID_subject_alt_name, names);
    assert_true(X509_sign(x, signer, EVP_sha256()) > 0);
    return x;
}

static inline void certs_save(char *path, size_t size, const char *dir, const char *file, X509 *x,
                              EVP_PKEY *key)
{
    (void)snprintf(path, size, "%s/%s", dir, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(
        x != NULL ? PEM_write_X509(f, x) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

static inline void certs_init(struct certs *c)
{
    static const char names[] = "DNS:mx.example.org,DNS:*.wild.example.org,IP:127.0.0.1";
    (void)snprintf(c->dir, sizeof c->dir, "/tmp/test_certs.XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *mx_key = EVP_EC_gen("P-256");
    X509 *ca = certs_make("test authority", ca_key, NULL, ca_key, NULL, 86400);
    X509 *mx = certs_make("mx.example.org", mx_key, ca, ca_key, names, 86400);
    X509 *old = certs_make("mx.example.org", mx_key, ca, ca_key, names, -60);
    X509 *self = certs_make("mx.example.org", mx_key, NULL, mx_key, names, 86400);
    X509 *other = certs_make("other.example.org", mx_key, ca, ca_key, "DNS:other.example.org", 86400);
    X509 *address = certs_make("no name", mx_key, ca, ca_key, "IP:127.0.0.1", 86400);
    certs_save(c->ca, sizeof c->ca, c->dir, "ca.pem", ca, NULL);
    certs_save(c->mx, sizeof c->mx, c->dir, "mx.pem", mx, NULL);
    certs_save(c->mx_key, sizeof c->mx_key, c->dir, "mx.key", NULL, mx_key);
    certs_save(c->old, sizeof c->old, c->dir, "old.pem", old, NULL);
    certs_save(c->self, sizeof c->self, c->dir, "self.pem", self, NULL);
    certs_save(c->address, sizeof c->address, c->dir, "address.pem", address, NULL);
    certs_save(c->other, sizeof c->other, c->dir, "other.pem", other, NULL);
    X509_free(ca);
    X509_free(mx);
    X509_free(old);
    X509_free(self);
    X509_free(other);
    X509_free(address);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(mx_key);
}

static inline void certs_done(struct certs *c)
{
    unlink(c->ca);
    unlink(c->mx);
    unlink(c->mx_key);
    unlink(c->old);
    unlink(c->self);
    unlink(c->other);
    unlink(c->address);
    rmdir(c->dir);
}
