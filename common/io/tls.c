#include "common/io/tls.h"

#include "common/buf.h"
#include "common/io/tls_internal.h"
#include "common/ip.h"

#include <event2/buffer.h>
/* OpenSSL has a type of this name; ours keeps it. */
#define ERR_STATE openssl_err_state
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls_context {
    SSL_CTX *ctx;
    BIO_METHOD *bio;
    bool verify;
    atomic_uint refs;
};

/* SSL reads from `feed` and writes to `wire`, both set for the time of a call. */
struct tls {
    SSL *ssl;
    struct tls_context *ctx;
    struct span feed;
    struct evbuffer *wire;
    struct buf begun; /* what is there of a record: handed to SSL when it is complete */
    bool established, failed, named;
};

/* --- errors ---------------------------------------------------------------------------------- */

/* Takes the first error off OpenSSL's queue: the cause; the others are its consequences. */
static const char *openssl_reason(void)
{
    unsigned long code = ERR_get_error();
    const char *text = code == 0 ? NULL : ERR_reason_error_string(code);
    if (code != 0 && ERR_SYSTEM_ERROR(code))
        text = strerrordesc_np(ERR_GET_REASON(code));
    ERR_clear_error();
    return text == NULL ? "unknown reason" : text;
}

/* --- the filter's ends ----------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *out, size_t size, size_t *ret_n)
{
    struct tls *t = BIO_get_data(bio);
    size_t n = t->feed.len < size ? t->feed.len : size;
    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(out, t->feed.ptr, n);
    t->feed = span_from(t->feed, n);
    *ret_n = n;
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t len, size_t *ret_n)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->wire == NULL || evbuffer_add(t->wire, bytes, len) != 0)
        return 0;
    *ret_n = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)bio;
    (void)number;
    (void)ptr;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "loop");
    if (m != NULL)
        (void)(BIO_meth_set_read_ex(m, bio_read) && BIO_meth_set_write_ex(m, bio_write) &&
               BIO_meth_set_ctrl(m, bio_ctrl));
    return m;
}

/* --- contexts -------------------------------------------------------------------------------- */

static enum err context_new(const SSL_METHOD *method, struct tls_context **ret, struct errctx *ec)
{
    struct tls_context *t = calloc(1, sizeof *t);
    if (t == NULL) {
        (void)err_set(ec, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    atomic_init(&t->refs, 1);
    ERR_clear_error();
    t->ctx = SSL_CTX_new(method);
    t->bio = bio_method();
    if (t->ctx == NULL || t->bio == NULL) {
        (void)err_set(ec, ERR_TLS, "cannot set up TLS: %s", openssl_reason());
        tls_unref(t);
        return ERR_TLS;
    }
    (void)SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* An idle connection owns no record buffers. */
    (void)SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    *ret = t;
    return ERR_OK;
}

static enum err load_certificate(SSL_CTX *ctx, const char *certificate, const char *key, struct errctx *ec)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        return err_set(ec, ERR_TLS, "cannot use the certificate chain %s: %s", certificate, openssl_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return err_set(ec, ERR_TLS, "cannot use the private key %s: %s", key, openssl_reason());
    if (SSL_CTX_check_private_key(ctx) != 1)
        return err_set(ec, ERR_TLS, "%s is not the private key of %s: %s", key, certificate,
                       openssl_reason());
    return ERR_OK;
}

enum err tls_server_new(const char *certificate_path, const char *key_path, enum tls_min min,
                        struct tls_context **ret, struct errctx *ec)
{
    struct tls_context *t;
    enum err e = context_new(TLS_server_method(), &t, ec);
    if (e != ERR_OK)
        return e;
    if (min == TLS_MIN_13)
        (void)SSL_CTX_set_min_proto_version(t->ctx, TLS1_3_VERSION);
    (void)SSL_CTX_set_options(t->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory of ours */
    (void)SSL_CTX_set_num_tickets(t->ctx, 1);
    e = load_certificate(t->ctx, certificate_path, key_path, ec);
    if (e != ERR_OK) {
        tls_unref(t);
        return e;
    }
    *ret = t;
    return ERR_OK;
}

static enum err load_authorities(SSL_CTX *ctx, const char *ca_path, struct errctx *ec)
{
    int ok =
        ca_path[0] == '\0' ? SSL_CTX_set_default_verify_paths(ctx) : SSL_CTX_load_verify_file(ctx, ca_path);
    if (ok == 1)
        return ERR_OK;
    return err_set(ec, ERR_TLS, "cannot use the CA certificates %s: %s",
                   ca_path[0] == '\0' ? "of the system" : ca_path, openssl_reason());
}

enum err tls_client_new(const char *ca_path, bool verify, struct tls_context **ret, struct errctx *ec)
{
    struct tls_context *t;
    enum err e = context_new(TLS_client_method(), &t, ec);
    if (e != ERR_OK)
        return e;
    t->verify = verify;
    /* Encryption without a check of the name takes what it can get: the alternative is plain text. */
    if (!verify)
        SSL_CTX_set_security_level(t->ctx, 1);
    SSL_CTX_set_verify(t->ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (verify || ca_path[0] != '\0')
        e = load_authorities(t->ctx, ca_path, ec);
    if (e != ERR_OK) {
        tls_unref(t);
        return e;
    }
    *ret = t;
    return ERR_OK;
}

struct tls_context *tls_ref(struct tls_context *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void tls_unref(struct tls_context *t)
{
    if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    SSL_CTX_free(t->ctx);
    BIO_meth_free(t->bio);
    free(t);
}

/* --- sessions -------------------------------------------------------------------------------- */

/* Server name indication is for host names alone (RFC 6066 3); an address is verified as one. */
static bool set_name(SSL *ssl, const char *name)
{
    struct ip_addr addr;
    size_t len = strlen(name);
    if (len == 0 || len > 254)
        return false;
    char host[256];
    memcpy(host, name, len + 1);
    if (host[len - 1] == '.')
        host[len - 1] = '\0';
    if (ip_parse(span_cstr(host), &addr) == ERR_OK)
        return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl), addr.bytes, addr.v6 ? 16 : 4) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

struct tls *tls_open(struct tls_context *ctx, bool server, const char *name)
{
    struct tls *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->ctx = tls_ref(ctx);
    buf_init(&t->begun, 0); /* grows to the size of its record */
    t->ssl = SSL_new(ctx->ctx);
    BIO *bio = BIO_new(ctx->bio);
    if (t->ssl == NULL || bio == NULL)
        goto fail;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    bio = NULL; /* the session's */
    if (name != NULL && name[0] != '\0' && !(t->named = set_name(t->ssl, name)))
        goto fail;
    if (server)
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    return t;
fail:
    BIO_free(bio);
    tls_free(t);
    return NULL;
}

void tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    tls_unref(t->ctx);
    buf_done(&t->begun);
    free(t);
}

static void begin(struct tls *t, struct span feed, struct evbuffer *wire)
{
    ERR_clear_error();
    t->feed = feed;
    t->wire = wire;
}

/* What the last call of SSL meant; names the operation in the error. */
static enum err outcome(struct tls *t, int result, const char *operation, struct errctx *ec)
{
    int why = SSL_get_error(t->ssl, result);
    if (why == SSL_ERROR_NONE || why == SSL_ERROR_ZERO_RETURN)
        return ERR_OK;
    if (why == SSL_ERROR_WANT_READ)
        return ERR_AGAIN;
    t->failed = true;
    long verdict = SSL_get_verify_result(t->ssl);
    if (!t->established && t->ctx->verify && verdict != X509_V_OK)
        return err_set(ec, ERR_TLS, "%s failed: the peer's certificate is not trusted: %s", operation,
                       X509_verify_cert_error_string(verdict));
    return err_set(ec, ERR_TLS, "%s failed: %s", operation, openssl_reason());
}

/* The keys of one exchange, which OpenSSL would keep as long as the session: up to 3 KB, and secrets. Giving
 * a key a type empties it; whether that type is known does not matter. */
static void empty_key(EVP_PKEY *key)
{
    (void)EVP_PKEY_set_type(key, EVP_PKEY_get_id(key));
    EVP_PKEY_free(key);
    ERR_clear_error();
}

static void forget_exchange(struct tls *t)
{
    EVP_PKEY *key;
    if (SSL_get_tmp_key(t->ssl, &key) == 1)
        empty_key(key);
    if (SSL_get_peer_tmp_key(t->ssl, &key) == 1)
        empty_key(key);
}

enum err tls_handshake(struct tls *t, struct span *cipher, struct evbuffer *wire, struct errctx *ec)
{
    begin(t, *cipher, wire);
    enum err e = outcome(t, SSL_do_handshake(t->ssl), "TLS handshake", ec);
    t->established = e == ERR_OK;
    if (t->established)
        forget_exchange(t);
    *cipher = t->feed;
    return e;
}

/* --- records ---------------------------------------------------------------------------------
 *
 * SSL is given whole records: of a part, however small, it would keep a buffer of 16 KiB, and with it half
 * of what a session of the node may hold besides its upload. Nothing depends on finding them right: SSL
 * gets all octets in their order. */

enum { RECORD_HEADER = 5, RECORD_LENGTH_MAX = 16384 + 2048 }; /* RFC 5246 6.2.3; RFC 8446 5.2 has less */

/* Octets of the record that begins here; 0: its header is not complete. What is no record is over with its
 * header: SSL refuses it. */
static size_t record_size(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    if (s.len < RECORD_HEADER)
        return 0;
    size_t length = (size_t)p[3] << 8 | p[4];
    bool sound = p[0] >= 20 && p[0] <= 24 && p[1] == 3 && length <= RECORD_LENGTH_MAX;
    return RECORD_HEADER + (sound ? length : 0);
}

/* Octets of the complete records that s begins with. */
static size_t whole_records(struct span s)
{
    size_t at = 0;
    for (;;) {
        size_t size = record_size(span_from(s, at));
        if (size == 0 || size > s.len - at)
            return at;
        at += size;
    }
}

/* Takes from cipher what the record begun lacks. ERR_AGAIN: it is not complete. */
static enum err complete(struct tls *t, struct span *cipher)
{
    for (;;) {
        size_t size = record_size(buf_span(&t->begun));
        if (size > 0 && t->begun.len >= size)
            return ERR_OK;
        if (cipher->len == 0)
            return ERR_AGAIN;
        t->begun.max = size > 0 ? size : RECORD_HEADER;
        struct span part = span_first(*cipher, t->begun.max - t->begun.len);
        if (buf_add(&t->begun, part) != ERR_OK)
            return ERR_NOMEM;
        *cipher = span_from(*cipher, part.len);
    }
}

/* Appends what these records hold to out, of which *ret_n octets are used. As tls_decrypt(). */
static enum err read_records(struct tls *t, struct span records, char *out, size_t size, size_t *ret_n,
                             struct evbuffer *wire, struct errctx *ec)
{
    begin(t, records, wire);
    while (t->feed.len > 0 || SSL_has_pending(t->ssl)) {
        size_t n = 0;
        if (*ret_n == size)
            return err_set(ec, ERR_TLS, "TLS carries more than its records can hold");
        int result = SSL_read_ex(t->ssl, out + *ret_n, size - *ret_n, &n);
        if (result != 1)
            return outcome(t, result, "TLS", ec);
        *ret_n += n;
    }
    return ERR_AGAIN;
}

enum err tls_decrypt(struct tls *t, struct span cipher, char *out, size_t size, size_t *ret_n,
                     struct evbuffer *wire, struct errctx *ec)
{
    enum err e = ERR_AGAIN;
    *ret_n = 0;
    if (t->begun.len > 0) {
        e = complete(t, &cipher);
        if (e == ERR_NOMEM)
            return err_set(ec, e, "no memory for TLS");
        if (e == ERR_AGAIN)
            return e;
        e = read_records(t, buf_span(&t->begun), out, size, ret_n, wire, ec);
        buf_done(&t->begun);
    }
    size_t whole = whole_records(cipher);
    if (e == ERR_AGAIN && whole > 0)
        e = read_records(t, span_first(cipher, whole), out, size, ret_n, wire, ec);
    cipher = span_from(cipher, whole);
    if (e == ERR_AGAIN && cipher.len > 0 && complete(t, &cipher) == ERR_NOMEM)
        e = err_set(ec, ERR_NOMEM, "no memory for TLS");
    return e;
}

size_t tls_read_size(const struct tls *t, size_t step)
{
    size_t have = t->begun.len, size = record_size(buf_span(&t->begun));
    size_t most = step > have ? step - have : RECORD_HEADER;
    return size > have && most < size - have ? size - have : most;
}

enum err tls_encrypt(struct tls *t, struct span plain, struct evbuffer *wire, struct errctx *ec)
{
    begin(t, SPAN(""), wire);
    while (plain.len > 0) {
        size_t n = 0;
        int result = SSL_write_ex(t->ssl, plain.ptr, plain.len, &n);
        if (result != 1) {
            enum err e = outcome(t, result, "TLS", ec);
            return e == ERR_TLS ? e : err_set(ec, ERR_TLS, "TLS cannot send now");
        }
        plain = span_from(plain, n);
    }
    return ERR_OK;
}

void tls_finish(struct tls *t, struct evbuffer *wire)
{
    if (!t->established || t->failed)
        return;
    begin(t, SPAN(""), wire);
    (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

/* --- what was negotiated --------------------------------------------------------------------- */

/* One line, printable: it ends up in trace headers and logs. */
static void subject_text(X509 *peer, char *out, size_t size)
{
    BIO *mem = BIO_new(BIO_s_mem());
    int n = 0;
    if (mem != NULL && X509_NAME_print_ex(mem, X509_get_subject_name(peer), 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(mem, out, (int)size - 1);
    out[n < 0 ? 0 : n] = '\0';
    for (char *p = out; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = '?';
    BIO_free(mem);
}

void tls_describe(const struct tls *t, struct conn_tls_info *ret)
{
    X509 *peer = SSL_get0_peer_certificate(t->ssl);
    ret->active = t->established;
    ret->verified = peer != NULL && t->named && SSL_get_verify_result(t->ssl) == X509_V_OK;
    (void)snprintf(ret->version, sizeof ret->version, "%s", SSL_get_version(t->ssl));
    (void)snprintf(ret->cipher, sizeof ret->cipher, "%s", SSL_get_cipher_name(t->ssl));
    if (peer != NULL)
        subject_text(peer, ret->peer, sizeof ret->peer);
}
