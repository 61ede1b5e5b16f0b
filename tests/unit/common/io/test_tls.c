/* tests/unit/common/io/test_tls.c — mirrors common/io/tls.c and conn_tls.c */
/* clang-format off */
#include "tests/unit/common/io/ends.h"
#include "tests/unit/common/io/certs.h"
/* clang-format on */

#define ERR_STATE openssl_err_state
#include <openssl/ssl.h>
#undef ERR_STATE
#include <signal.h>

static struct certs certs; /* read-only after the group's set-up */

/* Both ends ours, on a socket pair. */
struct pair {
    struct loop *loop;
    struct end client, server;
    struct tls_context *client_tls, *server_tls;
};

static void pair_init(struct pair *p, const char *certificate, const char *ca, bool verify)
{
    struct errctx ec;
    memset(p, 0, sizeof *p);
    p->loop = loop_new();
    assert_non_null(p->loop);
    end_init(&p->client, p->loop);
    end_init(&p->server, p->loop);
    assert_int_equal(tls_server_new(certificate, certs.mx_key, TLS_MIN_12, &p->server_tls, &ec), ERR_OK);
    assert_int_equal(tls_client_new(ca, verify, &p->client_tls, &ec), ERR_OK);
    p->client.tls = p->client_tls;
    p->client.name = "mx.example.org";
    p->server.tls = p->server_tls;
    p->server.server = true;
}

/* Plain on both ends; START_TLS acts may follow. */
static void pair_connect(struct pair *p)
{
    int fds[2];
    socket_pair(fds);
    p->client.c = conn_accept(p->loop, fds[0], NULL, &end_ops, &p->client);
    p->server.c = conn_accept(p->loop, fds[1], NULL, &end_ops, &p->server);
    assert_true(p->client.c != NULL && p->server.c != NULL);
}

/* TLS from the first byte. */
static void pair_secure(struct pair *p)
{
    p->client.at_opened = p->server.at_opened = START_TLS;
    pair_connect(p);
}

static void pair_done(struct pair *p)
{
    end_done(&p->client);
    end_done(&p->server);
    tls_unref(p->client_tls);
    tls_unref(p->server_tls);
    loop_free(p->loop);
}

static void test_tls__carries_bytes_and_describes_itself(void **state)
{
    struct pair p;
    struct conn_tls_info info;
    (void)state;
    pair_init(&p, certs.mx, certs.ca, true);
    p.server.answer = "pong";
    pair_secure(&p);
    run_until(&p.client, "secured");
    assert_int_equal(conn_write(p.client.c, SPAN("ping")), ERR_OK);
    run_until(&p.client, "got");
    check_story(&p.client, "opened;secured;got pong;");
    check_story(&p.server, "opened;secured;got ping;");
    conn_tls_info(p.client.c, &info);
    assert_true(info.active && info.verified);
    assert_string_equal(info.version, "TLSv1.3");
    assert_string_equal(info.peer, "CN=mx.example.org");
    assert_true(strncmp(info.cipher, "TLS_", 4) == 0);
    conn_tls_info(p.server.c, &info);
    assert_true(info.active);
    assert_false(info.verified);
    assert_string_equal(info.peer, "");
    assert_int_equal(conn_start_tls(p.server.c, p.server_tls, true, NULL), ERR_STATE);
    pair_done(&p);
}

static void test_tls__finish_and_free_end_in_order(void **state)
{
    static const enum act ends[] = {FINISH, FREE};
    (void)state;
    CHECK_EACH (ends, e) {
        struct pair p;
        pair_init(&p, certs.mx, certs.ca, true);
        p.server.at_received = *e;
        pair_secure(&p);
        run_until(&p.client, "secured");
        assert_int_equal(conn_write(p.client.c, SPAN("QUIT")), ERR_OK);
        p.server.answer = *e == FINISH ? "bye" : NULL;
        run_until(&p.client, "closed");
        check_story(&p.client,
                    *e == FINISH ? "opened;secured;got bye;closed OK;" : "opened;secured;closed OK;");
        if (*e == FINISH) {
            run_until(&p.server, "closed");
            check_story(&p.server, "opened;secured;got QUIT;closed OK;");
        }
        pair_done(&p);
    }
}

/* RFC 3207 4.2: what came in the clear after STARTTLS is not taken for something said under TLS. */
static void test_tls__plaintext_after_starttls_is_dropped(void **state)
{
    struct pair p;
    (void)state;
    pair_init(&p, certs.mx, certs.ca, true);
    p.server.take = strlen("STARTTLS\r\n");
    p.server.at_received = START_TLS;
    p.server.answer = "220 go\r\n";
    p.client.at_received = START_TLS;
    p.client.greeting = "STARTTLS\r\nRSET\r\n";
    pair_connect(&p);
    run_until(&p.client, "got");
    p.client.at_received = p.server.at_received = NOTHING;
    p.server.answer = NULL;
    assert_int_equal(conn_write(p.client.c, SPAN("EHLO")), ERR_OK); /* before the handshake is done */
    run_until(&p.server, "got EHLO");
    check_story(&p.server, "opened;got STARTTLS\r\nRSET\r\n;secured;got EHLO;");
    check_story(&p.client, "opened;got 220 go\r\n;secured;");
    conn_resume(p.server.c);
    run_turns(p.loop, 3);
    check_span(buf_span(&p.server.bytes), SPAN("STARTTLS\r\nEHLO"));
    pair_done(&p);
}

static void test_tls__verifies_chain_name_and_time(void **state)
{
    const struct {
        const char *certificate, *ca, *name;
        bool verify;
        const char *why; /* NULL: established */
        bool verified;
    } cases[] = {
        {certs.mx, certs.ca, "mx.example.org", true, NULL, true},
        {certs.mx, certs.ca, "MX.example.org.", true, NULL, true},
        {certs.mx, certs.ca, "127.0.0.1", true, NULL, true},
        {certs.mx, certs.ca, "a.wild.example.org", true, NULL, true},
        {certs.mx, certs.ca, "a.b.wild.example.org", true, "hostname mismatch", false},
        {certs.mx, certs.ca, "mx.example.com", true, "hostname mismatch", false},
        {certs.mx, certs.ca, "127.0.0.2", true, "IP address mismatch", false},
        {certs.mx, "", "mx.example.org", true, "unable to get local issuer certificate", false},
        {certs.old, certs.ca, "mx.example.org", true, "certificate has expired", false},
        {certs.self, certs.ca, "mx.example.org", true, "self-signed certificate", false},
        {certs.mx, certs.ca, NULL, true, NULL, false}, /* no name, nothing to be verified */
        {certs.self, "", "mx.example.com", false, NULL, false},
        {certs.old, "", "mx.example.org", false, NULL, false},
        {certs.mx, certs.ca, "mx.example.com", false, NULL, false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct pair p;
        struct conn_tls_info info;
        pair_init(&p, c->certificate, c->ca, c->verify);
        p.client.name = c->name;
        pair_secure(&p);
        if (c->why == NULL) {
            run_until(&p.client, "secured");
            conn_tls_info(p.client.c, &info);
            assert_int_equal(info.verified, c->verified);
        } else {
            run_until(&p.client, "closed");
            assert_non_null(strstr(buf_cstr(&p.client.story), "closed TLS: TLS handshake failed: the peer's "
                                                              "certificate is not trusted: "));
            assert_non_null(strstr(buf_cstr(&p.client.story), c->why));
            run_until(&p.server, "closed TLS");
        }
        pair_done(&p);
    }
}

/* Sends block after block while below the mark, like a body from the queue. */
struct pump {
    struct end *from;
    size_t left;
    unsigned held; /* borrowed blocks */
};
static char pattern[48 * 1024];

static void unhold(const void *ptr, size_t len, void *arg)
{
    struct pump *p = arg;
    (void)ptr;
    (void)len;
    p->held--;
}

static void pump_more(struct pump *p)
{
    while (p->left > 0 && conn_output(p->from->c) < 100000) {
        size_t n = p->left < sizeof pattern ? p->left : sizeof pattern;
        assert_int_equal(conn_write(p->from->c, SPAN("#")), ERR_OK);
        p->held++;
        assert_int_equal(conn_write_ref(p->from->c, span_of(pattern, n), unhold, p), ERR_OK);
        p->left -= n;
    }
}

static void test_tls__large_bodies_arrive_whole_both_ways(void **state)
{
    enum { TOTAL = 4 << 20 };
    struct pair p;
    (void)state;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i * 7 + i / 256);
    pair_init(&p, certs.mx, certs.ca, true);
    pair_secure(&p);
    run_until(&p.client, "secured");
    run_until(&p.server, "secured");
    p.client.quiet = p.server.quiet = true;
    p.server.take = 30000; /* leaves some over, every time */
    struct pump up = {&p.client, TOTAL, 0}, down = {&p.server, TOTAL, 0};
    size_t want = TOTAL + (TOTAL + sizeof pattern - 1) / sizeof pattern;
    for (int turn = 0; turn < 100000 && p.client.bytes.len + p.server.bytes.len < 2 * want; turn++) {
        pump_more(&up);
        pump_more(&down);
        if (turn % 7 == 0)
            conn_pause(p.client.c);
        if (turn % 7 == 3 || turn % 2 == 0)
            conn_resume(turn % 2 == 0 ? p.server.c : p.client.c);
        run_turns(p.loop, 1);
    }
    assert_int_equal(p.server.bytes.len, want);
    assert_int_equal(p.client.bytes.len, want);
    assert_int_equal(up.held + down.held, 0);
    assert_memory_equal(p.server.bytes.ptr, p.client.bytes.ptr, want);
    for (size_t at = 0; at < want; at += sizeof pattern + 1) {
        size_t n = want - at - 1 < sizeof pattern ? want - at - 1 : sizeof pattern;
        assert_int_equal(p.server.bytes.ptr[at], '#');
        assert_memory_equal(p.server.bytes.ptr + at + 1, pattern, n);
    }
    pair_done(&p);
}

static void test_tls__a_callback_may_free_its_connection(void **state)
{
    static const struct {
        enum act opened, received, secured, closed;
    } cases[] = {
        {START_TLS, NOTHING, FREE, NOTHING}, {START_TLS, FREE, NOTHING, NOTHING},
        {START_TLS, NOTHING, NOTHING, FREE}, {START_TLS, FINISH, NOTHING, FREE},
        {START_TLS, NOTHING, FINISH, FREE},  {START_TLS, NOTHING, PAUSE, FREE},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct pair p;
        pair_init(&p, certs.mx, certs.ca, true);
        p.server.at_opened = c->opened;
        p.server.at_received = c->received;
        p.server.at_secured = c->secured;
        p.server.at_closed = c->closed;
        p.client.at_opened = START_TLS;
        pair_connect(&p);
        run_until(&p.client, "secured");
        assert_int_equal(conn_write(p.client.c, SPAN("hello")), ERR_OK);
        conn_finish(p.client.c, 1000);
        for (int i = 0; i < 20 && p.server.c != NULL; i++)
            run_turns(p.loop, 1);
        if (c->secured == PAUSE) {
            assert_string_equal(buf_cstr(&p.server.story), "opened;secured;");
            conn_resume(p.server.c);
            run_turns(p.loop, 5);
            assert_string_equal(buf_cstr(&p.server.story), "opened;secured;got hello;closed OK;");
        }
        assert_null(p.server.c);
        pair_done(&p);
    }
}

static void test_tls__free_during_the_handshake_releases_output(void **state)
{
    struct pair p;
    struct pump held = {.held = 1};
    (void)state;
    pair_init(&p, certs.mx, certs.ca, true);
    pair_secure(&p);
    run_until(&p.client, "opened");
    assert_int_equal(conn_write_ref(p.client.c, SPAN("x"), unhold, &held), ERR_OK);
    conn_free(p.client.c);
    p.client.c = NULL;
    assert_int_equal(held.held, 0);
    run_until(&p.server, "closed");
    check_story(&p.server, "opened;closed TLS: closed by the peer during the TLS handshake;");
    pair_done(&p);
}

/* --- one end is not ours --------------------------------------------------------------------- */

/* A server of ours; the client is OpenSSL on a bare descriptor, or no TLS at all. */
struct raw {
    struct pair p;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static void raw_init(struct raw *r, enum tls_min min, int client_version)
{
    struct errctx ec;
    int fds[2];
    pair_init(&r->p, certs.mx, certs.ca, true);
    tls_unref(r->p.server_tls);
    assert_int_equal(tls_server_new(certs.mx, certs.mx_key, min, &r->p.server_tls, &ec), ERR_OK);
    socket_pair(fds);
    r->fd = fds[0];
    r->p.server.c = conn_accept(r->p.loop, fds[1], r->p.server_tls, &end_ops, &r->p.server);
    r->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(r->ctx, 0);
    SSL_CTX_set_min_proto_version(r->ctx, client_version);
    SSL_CTX_set_max_proto_version(r->ctx, client_version);
    r->ssl = SSL_new(r->ctx);
    SSL_set_fd(r->ssl, r->fd);
    SSL_set_connect_state(r->ssl);
}

static void raw_done(struct raw *r)
{
    SSL_free(r->ssl);
    SSL_CTX_free(r->ctx);
    if (r->fd >= 0)
        close(r->fd);
    pair_done(&r->p);
}

/* Until the handshake is done or the server has closed. */
static bool raw_shake(struct raw *r)
{
    for (int i = 0; i < 100; i++) {
        if (SSL_do_handshake(r->ssl) == 1) {
            run_until(&r->p.server, "opened");
            return true;
        }
        if (strstr(buf_cstr(&r->p.server.story), "closed") != NULL)
            return false;
        run_turns(r->p.loop, 1);
    }
    return false;
}

static void test_tls__refuses_old_versions(void **state)
{
    static const struct {
        enum tls_min min;
        int version;
        bool ok;
    } cases[] = {
        {TLS_MIN_12, TLS1_3_VERSION, true},  {TLS_MIN_12, TLS1_2_VERSION, true},
        {TLS_MIN_12, TLS1_1_VERSION, false}, {TLS_MIN_13, TLS1_3_VERSION, true},
        {TLS_MIN_13, TLS1_2_VERSION, false},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct raw r;
        raw_init(&r, c->min, c->version);
        assert_int_equal(raw_shake(&r), c->ok);
        if (!c->ok)
            check_story(&r.p.server, "closed TLS: TLS handshake failed: unsupported protocol;");
        raw_done(&r);
    }
}

static void test_tls__an_end_without_close_notify_is_reported(void **state)
{
    struct raw r;
    char ticket[8];
    (void)state;
    raw_init(&r, TLS_MIN_12, TLS1_3_VERSION);
    assert_true(raw_shake(&r));
    assert_int_equal(SSL_write(r.ssl, "DATA", 4), 4);
    assert_int_equal(SSL_read(r.ssl, ticket, sizeof ticket), -1); /* unread, it would reset the socket */
    close(r.fd);
    r.fd = -1;
    run_until(&r.p.server, "closed");
    check_story(&r.p.server, "opened;got DATA;closed TLS: closed by the peer without close_notify;");
    raw_done(&r);
}

static void test_tls__close_notify_after_data_in_one_piece(void **state)
{
    struct raw r;
    (void)state;
    raw_init(&r, TLS_MIN_12, TLS1_2_VERSION);
    assert_true(raw_shake(&r));
    assert_int_equal(SSL_write(r.ssl, "QUIT", 4), 4);
    assert_int_equal(SSL_shutdown(r.ssl), 0);
    run_until(&r.p.server, "closed");
    check_story(&r.p.server, "opened;got QUIT;closed OK;");
    raw_done(&r);
}

static void test_tls__renegotiation_is_refused_and_rekeying_works(void **state)
{
    struct raw r;
    char reply[8] = "";
    (void)state;
    raw_init(&r, TLS_MIN_12, TLS1_2_VERSION);
    assert_true(raw_shake(&r));
    assert_int_equal(SSL_renegotiate(r.ssl), 1);
    (void)SSL_do_handshake(r.ssl);
    run_turns(r.p.loop, 3);
    assert_int_equal(SSL_do_handshake(r.ssl), -1); /* the answer is a no_renegotiation alert */
    raw_done(&r);

    raw_init(&r, TLS_MIN_12, TLS1_3_VERSION);
    r.p.server.answer = "ok";
    assert_true(raw_shake(&r));
    assert_int_equal(SSL_key_update(r.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_write(r.ssl, "a", 1), 1);
    run_until(&r.p.server, "got a");
    assert_int_equal(SSL_read(r.ssl, reply, sizeof reply), 2);
    assert_string_equal(reply, "ok");
    raw_done(&r);
}

static void test_tls__what_is_not_tls_is_refused(void **state)
{
    struct raw r;
    (void)state;
    raw_init(&r, TLS_MIN_12, TLS1_3_VERSION);
    assert_int_equal(write(r.fd, "EHLO example.org\r\n", 18), 18);
    run_until(&r.p.server, "closed");
    assert_non_null(strstr(buf_cstr(&r.p.server.story), "closed TLS: TLS handshake failed: "));
    raw_done(&r);
    /* After the handshake: a record that nobody encrypted. */
    raw_init(&r, TLS_MIN_12, TLS1_3_VERSION);
    assert_true(raw_shake(&r));
    assert_int_equal(write(r.fd,
                           "\x17\x03\x03\x00\x20"
                           "................................",
                           37),
                     37);
    run_until(&r.p.server, "closed");
    check_story(&r.p.server, "opened;closed TLS: TLS failed: decryption failed or bad record mac;");
    raw_done(&r);
    /* What begins no record is not waited for: five octets tell. */
    static const struct span no_records[] = {SPAN_INIT("QUIT\r"), SPAN_INIT("\x17\x03\x03\xff\xff")};
    CHECK_EACH (no_records, octets) {
        raw_init(&r, TLS_MIN_12, TLS1_3_VERSION);
        assert_true(raw_shake(&r));
        assert_int_equal(write(r.fd, octets->ptr, octets->len), octets->len);
        run_until(&r.p.server, "closed");
        assert_non_null(strstr(buf_cstr(&r.p.server.story), "opened;closed TLS: TLS failed: "));
        raw_done(&r);
    }
}

/* Records cut anywhere: every byte in a turn of its own. */
static void test_tls__records_may_arrive_byte_by_byte(void **state)
{
    struct raw r;
    unsigned char record[256];
    (void)state;
    raw_init(&r, TLS_MIN_12, TLS1_3_VERSION);
    assert_true(raw_shake(&r));
    BIO *mem = BIO_new(BIO_s_mem());
    BIO_up_ref(mem);
    SSL_set0_wbio(r.ssl, mem);
    assert_int_equal(SSL_write(r.ssl, "one", 3), 3);
    assert_int_equal(SSL_write(r.ssl, "two", 3), 3);
    int n = BIO_read(mem, record, sizeof record);
    assert_true(n > 6);
    for (int i = 0; i < n; i++) {
        assert_int_equal(write(r.fd, record + i, 1), 1);
        run_turns(r.p.loop, 1);
    }
    check_story(&r.p.server, "opened;got one;got two;");
    BIO_free(mem);
    raw_done(&r);
}

static void test_tls__connecting_to_silence_and_to_plain_text(void **state)
{
    struct pair p;
    struct errctx ec;
    struct ip_endpoint at;
    (void)state;
    pair_init(&p, certs.mx, certs.ca, true);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(listen(fd, 1), 0); /* binds to a free port; nobody ever accepts */
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    assert_true(ip_from_sockaddr((struct sockaddr *)&ss, &at));
    assert_int_equal(ip_parse(SPAN("127.0.0.1"), &at.addr), ERR_OK);
    struct conn_target t = {
        .endpoint = at, .tls = p.client_tls, .tls_name = "mx.example.org", .timeout_ms = 20};
    assert_int_equal(conn_connect(p.loop, &t, &end_ops, &p.client, &p.client.c, &ec), ERR_OK);
    run_until(&p.client, "closed");
    check_story(&p.client, "closed TIMEOUT: the TLS handshake took too long;");
    conn_free(p.client.c);
    t.timeout_ms = 10000;
    assert_int_equal(conn_connect(p.loop, &t, &end_ops, &p.client, &p.client.c, &ec), ERR_OK);
    int accepted = accept(fd, NULL, NULL);
    close(accepted); /* the one that timed out */
    accepted = accept(fd, NULL, NULL);
    assert_int_equal(write(accepted, "220 mx.example.org ESMTP\r\n", 26), 26);
    buf_clear(&p.client.story);
    run_until(&p.client, "closed");
    assert_non_null(strstr(buf_cstr(&p.client.story), "closed TLS: TLS handshake failed: "));
    close(accepted);
    close(fd);
    pair_done(&p);
}

static void test_tls__contexts_say_what_is_wrong(void **state)
{
    struct tls_context *t;
    struct errctx ec;
    (void)state;
    assert_int_equal(tls_server_new("/nonexistent.pem", certs.mx_key, TLS_MIN_12, &t, &ec), ERR_TLS);
    assert_string_equal(ec.msg,
                        "cannot use the certificate chain /nonexistent.pem: No such file or directory");
    assert_int_equal(tls_server_new(certs.ca, certs.mx_key, TLS_MIN_12, &t, &ec), ERR_TLS);
    assert_non_null(strstr(ec.msg, "key values mismatch"));
    assert_int_equal(tls_server_new(certs.mx, certs.mx, TLS_MIN_12, &t, &ec), ERR_TLS);
    assert_non_null(strstr(ec.msg, "cannot use the private key"));
    assert_int_equal(tls_client_new(certs.mx_key, true, &t, &ec), ERR_TLS);
    assert_non_null(strstr(ec.msg, "cannot use the CA certificates"));
    tls_unref(NULL);
}

static int set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* of the bare OpenSSL ends; ours do not need it */
    certs_init(&certs);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    certs_done(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls__carries_bytes_and_describes_itself),
        cmocka_unit_test(test_tls__finish_and_free_end_in_order),
        cmocka_unit_test(test_tls__plaintext_after_starttls_is_dropped),
        cmocka_unit_test(test_tls__verifies_chain_name_and_time),
        cmocka_unit_test(test_tls__large_bodies_arrive_whole_both_ways),
        cmocka_unit_test(test_tls__a_callback_may_free_its_connection),
        cmocka_unit_test(test_tls__free_during_the_handshake_releases_output),
        cmocka_unit_test(test_tls__refuses_old_versions),
        cmocka_unit_test(test_tls__an_end_without_close_notify_is_reported),
        cmocka_unit_test(test_tls__close_notify_after_data_in_one_piece),
        cmocka_unit_test(test_tls__renegotiation_is_refused_and_rekeying_works),
        cmocka_unit_test(test_tls__what_is_not_tls_is_refused),
        cmocka_unit_test(test_tls__records_may_arrive_byte_by_byte),
        cmocka_unit_test(test_tls__connecting_to_silence_and_to_plain_text),
        cmocka_unit_test(test_tls__contexts_say_what_is_wrong),
    };
    alarm(100);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
