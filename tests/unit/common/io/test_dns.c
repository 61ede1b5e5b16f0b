/* tests/unit/common/io/test_dns.c — mirrors common/io/dns.c; the name server is a socket on the same loop */
#include "common/io/dns.h"

/* clang-format off */
#include "tests/unit/check.h"
#include "tests/unit/common/io/dns_build.h"
/* clang-format on */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OK = 0x8180, NXDOMAIN = 0x8183, SERVFAIL = 0x8182, FOREVER = 100000, SILENCE_MS = 12000 };

struct server {
    struct loop *loop;
    struct dns *dns;
    struct watch *watch;
    int fd;
    char address[32];
    unsigned asked;
    /* what came back */
    struct buf story;
    unsigned want, got;
    struct dns_query *query;
    bool free_in_callback;
};

/* Answers by the first label of the name. */
static size_t answer(struct wr *w, unsigned id, const char *name, unsigned type)
{
    struct ip_addr v4 = {.bytes = {192, 0, 2, 7}}, v6 = {.v6 = true, .bytes = {0x20, 1, 0xd, 0xb8}};
    struct span label, rest;
    (void)span_cut(span_cstr(name), '.', &label, &rest);
    if (span_eq(label, SPAN("silent")))
        return 0;
    if (span_eq(label, SPAN("broken"))) {
        put_question(w, id, SERVFAIL, name, type, 0, 0);
    } else if (span_eq(label, SPAN("missing"))) {
        put_question(w, id, NXDOMAIN, name, type, 0, 1);
        put_soa(w, "org", 60, 60);
    } else if (type == 15 && span_eq(label, SPAN("mail"))) {
        put_question(w, id, OK, name, type, 2, 0);
        put_mx(w, name, 60, 20, "mx2.example.org");
        put_mx(w, name, 60, 10, "mx1.example.org");
    } else if (type == 15 && span_eq(label, SPAN("nomail"))) {
        put_question(w, id, OK, name, type, 1, 0);
        put_mx(w, name, 60, 0, "");
    } else if (type == 15 && span_eq(label, SPAN("oddmail"))) {
        put_question(w, id, OK, name, type, 1, 0);
        put_mx(w, name, 60, 0, "odd name.example.org");
    } else if (type == 1 && (span_eq(label, SPAN("host")) || span_eq(label, SPAN("four")))) {
        put_question(w, id, OK, name, type, 1, 0);
        put_address(w, name, 60, &v4);
    } else if (type == 1 &&
               span_eq(label, SPAN("fleeting"))) { /* its AAAA stays in the cache, this does not */
        put_question(w, id, OK, name, type, 1, 0);
        put_address(w, name, 0, &v4);
    } else if (type == 28 && span_eq(label, SPAN("host"))) {
        put_question(w, id, OK, name, type, 1, 0);
        put_address(w, name, 60, &v6);
    } else if (type == 28 && span_eq(label, SPAN("four"))) {
        put_question(w, id, SERVFAIL, name, type, 0, 0);
    } else if (type == 12 && span_eq(label, SPAN("7"))) {
        put_question(w, id, OK, name, type, 1, 0);
        put_named(w, name, 12, 60, "host.example.org");
    } else {
        put_question(w, id, OK, name, type, 0, 1);
        put_soa(w, "org", 60, 60);
    }
    return w->b->len;
}

/* Takes the question apart: RFC 1035 4.1. */
static void on_question(void *arg)
{
    struct server *s = arg;
    char packet[512], name[256];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t n = recvfrom(s->fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    if (n < 12)
        return;
    struct rd r = rd_open(span_of(packet, (size_t)n));
    unsigned id = rd_u16(&r);
    (void)rd_bytes(&r, 10);
    size_t len = 0;
    for (unsigned label; (label = rd_u8(&r)) != 0; name[len++] = '.') {
        struct span text = rd_bytes(&r, label);
        memcpy(name + len, text.ptr, text.len);
        len += text.len;
    }
    name[len == 0 ? 0 : len - 1] = '\0';
    unsigned type = rd_u16(&r);
    assert_false(r.bad);
    s->asked++;
    struct buf out;
    buf_init(&out, 512);
    struct wr w = wr_open(&out);
    if (answer(&w, id, name, type) > 0)
        assert_true(sendto(s->fd, out.ptr, out.len, 0, (struct sockaddr *)&from, size) > 0);
    buf_done(&out);
}

static void open_dns(struct server *s, ms_t timeout_ms)
{
    char *servers[] = {s->address};
    struct errctx ec;
    assert_int_equal(dns_new(s->loop, servers, 1, timeout_ms, 1 << 20, &s->dns, &ec), ERR_OK);
}

static void server_init(struct server *s, ms_t timeout_ms)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    memset(s, 0, sizeof *s);
    s->loop = loop_new();
    buf_init(&s->story, 1 << 16);
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &size), 0);
    (void)snprintf(s->address, sizeof s->address, "127.0.0.1@%u", (unsigned)ntohs(at.sin_port));
    s->watch = watch_fd(s->loop, s->fd, on_question, s);
    open_dns(s, timeout_ms);
}

static void server_done(struct server *s)
{
    dns_free(s->dns);
    watch_free(s->watch);
    close(s->fd);
    buf_done(&s->story);
    loop_free(s->loop);
}

/* "OK yes 2: 10 mx1.example.org, 20 mx2.example.org; " */
static void on_answer(void *arg, const struct dns_answer *a)
{
    struct server *s = arg;
    assert_int_equal(buf_addf(&s->story, "%s", err_name(a->err)), ERR_OK);
    if (a->err == ERR_OK)
        assert_int_equal(buf_addf(&s->story, " %s %zu", a->exists ? "yes" : "no", a->n), ERR_OK);
    else
        assert_true(a->why[0] != '\0' && a->n == 0);
    for (size_t i = 0; i < a->n; i++) {
        char text[IP_TEXT_MAX] = "";
        if (a->addrs != NULL)
            ip_text(&a->addrs[i], text);
        if (a->mx != NULL)
            assert_int_equal(buf_addf(&s->story, " %u %s", a->mx[i].preference, a->mx[i].host), ERR_OK);
        else
            assert_int_equal(buf_addf(&s->story, " %s", a->name != NULL ? a->name : text), ERR_OK);
    }
    if (a->err == ERR_OK)
        assert_true(a->ttl_ms <= 60000);
    assert_false(a->secure);
    assert_int_equal(buf_add(&s->story, SPAN(";")), ERR_OK);
    s->query = NULL;
    if (s->free_in_callback) {
        dns_free(s->dns);
        s->dns = NULL;
    }
    if (++s->got == s->want)
        loop_stop(s->loop);
}

static void run_for(struct server *s, unsigned answers)
{
    s->want = s->got + answers;
    loop_run(s->loop);
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void run_turns(struct server *s, int n)
{
    s->want = UINT32_MAX;
    while (n-- > 0) {
        assert_int_equal(loop_post(s->loop, stop_loop, s->loop), ERR_OK);
        loop_run(s->loop);
    }
}

static void ask_mx(struct server *s, const char *name)
{
    assert_int_equal(dns_ask_mx(s->dns, span_cstr(name), on_answer, s, &s->query), ERR_OK);
}

static void ask_addresses(struct server *s, const char *name)
{
    assert_int_equal(dns_ask_addresses(s->dns, span_cstr(name), on_answer, s, &s->query), ERR_OK);
}

static void test_dns__answers(void **state)
{
    static const struct {
        const char *name;
        bool mx;
        const char *story;
    } cases[] = {
        {"mail.example.org", true, "OK yes 2 10 mx1.example.org 20 mx2.example.org;"},
        {"Mail.Example.ORG.", true, "OK yes 2 10 mx1.example.org 20 mx2.example.org;"},
        {"mail.b\xc3\xbc"
         "cher.example",
         true, "OK yes 2 10 mx1.example.org 20 mx2.example.org;"},
        {"mail.somewhere.test", true, "OK yes 2 10 mx1.example.org 20 mx2.example.org;"},
        {"nomail.example.org", true, "OK yes 1 0 ;"},
        {"oddmail.example.org", true, "DNS;"},
        {"plain.example.org", true, "OK yes 0;"},
        {"missing.example.org", true, "OK no 0;"},
        {"broken.example.org", true, "DNS;"},
        {"no name", true, "PARSE;"},
        {"", true, "PARSE;"},
        {"host.example.org", false, "OK yes 2 2001:db8:: 192.0.2.7;"},
        {"four.example.org", false, "OK yes 1 192.0.2.7;"}, /* half an answer is one */
        {"plain.example.org", false, "OK yes 0;"},
        {"missing.example.org", false, "OK no 0;"},
        {"broken.example.org", false, "DNS;"},
        {"a..b", false, "PARSE;"},
    };
    struct server s;
    (void)state;
    server_init(&s, FOREVER);
    CHECK_EACH (cases, c) {
        buf_clear(&s.story);
        if (c->mx)
            ask_mx(&s, c->name);
        else
            ask_addresses(&s, c->name);
        assert_string_equal(buf_cstr(&s.story), ""); /* never before the call returns */
        run_for(&s, 1);
        assert_string_equal(buf_cstr(&s.story), c->story);
    }
    server_done(&s);
}

static void test_dns__reverse_also_in_private_networks(void **state)
{
    static const struct {
        const char *addr, *story;
    } cases[] = {
        {"192.0.2.7", "OK yes 1 host.example.org;"},
        {"10.0.0.7", "OK yes 1 host.example.org;"},
        {"192.0.2.8", "OK yes 0;"},
    };
    struct server s;
    (void)state;
    server_init(&s, FOREVER);
    CHECK_EACH (cases, c) {
        struct ip_addr a;
        buf_clear(&s.story);
        assert_int_equal(ip_parse(span_cstr(c->addr), &a), ERR_OK);
        assert_int_equal(dns_ask_reverse(s.dns, &a, on_answer, &s, NULL), ERR_OK);
        run_for(&s, 1);
        assert_string_equal(buf_cstr(&s.story), c->story);
    }
    server_done(&s);
}

static void test_dns__remembers_answers_and_joins_questions(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, FOREVER);
    for (int i = 0; i < 100; i++)
        ask_mx(&s, "mail.example.org");
    run_for(&s, 100);
    unsigned asked = s.asked;
    ask_mx(&s, "mail.example.org");
    assert_int_equal(s.got, 100);
    run_for(&s, 1);
    assert_int_equal(s.asked, asked);
    server_done(&s);
}

/* Half of the question is answered from the cache, at once; the other half still counts. */
static void test_dns__waits_for_both_families(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, FOREVER);
    for (int i = 0; i < 3; i++) {
        ask_addresses(&s, "fleeting.example.org");
        run_for(&s, 1);
    }
    assert_string_equal(buf_cstr(&s.story), "OK yes 1 192.0.2.7;OK yes 1 192.0.2.7;OK yes 1 192.0.2.7;");
    assert_int_equal(s.asked, 4);
    server_done(&s);
}

static void test_dns__many_at_a_time(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, FOREVER);
    for (int i = 0; i < 500; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "mail.d%d.example.org", i);
        ask_mx(&s, name);
    }
    run_for(&s, 500);
    assert_int_equal(s.got, 500);
    server_done(&s);
}

static unsigned ask_silent(struct server *s, unsigned from, unsigned n)
{
    for (unsigned i = from; i < from + n; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "silent.d%u.example.org", i);
        ask_mx(s, name);
    }
    return from + n;
}

/* Domains that nobody answers for: what they wait for in vain is not held against the name server, which
 * answers for all others as before. */
static void test_dns__names_that_hang_delay_no_other(void **state)
{
    struct server s;
    unsigned silent = 0;
    (void)state;
    server_init(&s, SILENCE_MS); /* newer libunbounds ask for minutes before they give up */
    for (int round = 0; round < 2; round++) {
        silent = ask_silent(&s, silent, 100);
        run_for(&s, 100);
    }
    (void)ask_silent(&s, silent, 100);
    for (int i = 0; i < 10; i++) {
        char name[64];
        buf_clear(&s.story);
        (void)snprintf(name, sizeof name, "mail.d%d.example.org", i);
        ask_mx(&s, name);
        run_for(&s, 1);
        assert_string_equal(buf_cstr(&s.story), "OK yes 2 10 mx1.example.org 20 mx2.example.org;");
    }
    server_done(&s);
}

static void test_dns__silence_ends_by_our_own_timer(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, 30);
    ask_mx(&s, "silent.example.org");
    ask_addresses(&s, "silent.example.org");
    run_for(&s, 2);
    assert_string_equal(buf_cstr(&s.story), "TIMEOUT;TIMEOUT;");
    buf_clear(&s.story);
    server_done(&s);
}

static void test_dns__canceled_is_never_answered(void **state)
{
    struct server s;
    struct dns_query *early, *late, *bad;
    (void)state;
    server_init(&s, FOREVER);
    assert_int_equal(dns_ask_mx(s.dns, SPAN("mail.example.org"), on_answer, &s, &early), ERR_OK);
    assert_int_equal(dns_ask_mx(s.dns, SPAN("silent.example.org"), on_answer, &s, &late), ERR_OK);
    assert_int_equal(dns_ask_mx(s.dns, SPAN(""), on_answer, &s, &bad), ERR_OK);
    dns_cancel(early);
    dns_cancel(bad);
    dns_cancel(NULL);
    run_turns(&s, 20);
    dns_cancel(late);
    ask_addresses(&s, "host.example.org");
    run_for(&s, 1);
    assert_string_equal(buf_cstr(&s.story), "OK yes 2 2001:db8:: 192.0.2.7;");
    server_done(&s);
}

static void test_dns__free_cancels_what_is_open(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, FOREVER);
    ask_mx(&s, "silent.example.org");
    ask_addresses(&s, "silent.example.org");
    run_turns(&s, 5);
    dns_free(s.dns);
    assert_string_equal(buf_cstr(&s.story), "CANCELED;CANCELED;");
    dns_free(NULL);
    open_dns(&s, FOREVER);
    buf_clear(&s.story);
    s.free_in_callback = true;
    ask_mx(&s, "mail.example.org");
    run_for(&s, 1);
    assert_string_equal(buf_cstr(&s.story), "OK yes 2 10 mx1.example.org 20 mx2.example.org;");
    assert_null(s.dns);
    server_done(&s);
}

static void test_dns__localhost_needs_no_server(void **state)
{
    struct server s;
    (void)state;
    server_init(&s, FOREVER);
    ask_addresses(&s, "localhost");
    run_for(&s, 1);
    assert_int_equal(s.asked, 0);
    assert_non_null(strstr(buf_cstr(&s.story), " 127.0.0.1"));
    server_done(&s);
}

static void test_dns__bad_servers_are_named(void **state)
{
    static const char *const bad[] = {
        "", "localhost", "127.0.0.1@", "127.0.0.1@0", "127.0.0.1@65536", "127.0.0.1:53"};
    struct loop *l = loop_new();
    (void)state;
    CHECK_EACH (bad, b) {
        char text[32];
        char *servers[] = {text};
        struct errctx ec;
        struct dns *d;
        (void)snprintf(text, sizeof text, "%s", *b);
        assert_int_equal(dns_new(l, servers, 1, 1000, 1 << 20, &d, &ec), ERR_CONFIG);
        assert_true(span_has_prefix(span_cstr(ec.msg), SPAN("resolver.servers: '")));
    }
    loop_free(l);
}

int main(void)
{
    alarm(100);
    return CHECK_RUN(
        cmocka_unit_test(test_dns__answers), cmocka_unit_test(test_dns__reverse_also_in_private_networks),
        cmocka_unit_test(test_dns__remembers_answers_and_joins_questions),
        cmocka_unit_test(test_dns__waits_for_both_families), cmocka_unit_test(test_dns__many_at_a_time),
        cmocka_unit_test(test_dns__names_that_hang_delay_no_other),
        cmocka_unit_test(test_dns__silence_ends_by_our_own_timer),
        cmocka_unit_test(test_dns__canceled_is_never_answered),
        cmocka_unit_test(test_dns__free_cancels_what_is_open),
        cmocka_unit_test(test_dns__localhost_needs_no_server),
        cmocka_unit_test(test_dns__bad_servers_are_named));
}
