/* tests/unit/common/config/test_redis_url.c — mirrors common/config/redis_url.c */
#include "tests/unit/check.h"

#include "common/config/redis_url.h"

#include <string.h>

/* "kind tls hosts db master user password path", for comparison by eye */
static void describe(const struct redis_url *u, struct buf *out)
{
    static const char *const kinds[] = {"embedded", "unix", "single", "sentinel", "cluster"};
    assert_int_equal(buf_addf(out, "%s%s", kinds[u->kind], u->tls ? "+tls" : ""), ERR_OK);
    for (size_t i = 0; i < u->nhosts; i++)
        assert_int_equal(buf_addf(out, " %s|%u", u->hosts[i].name, u->hosts[i].port), ERR_OK);
    if (u->db > 0)
        assert_int_equal(buf_addf(out, " db=%u", u->db), ERR_OK);
    if (u->master[0] != '\0')
        assert_int_equal(buf_addf(out, " master=%s", u->master), ERR_OK);
    if (u->user[0] != '\0')
        assert_int_equal(buf_addf(out, " user=%s", u->user), ERR_OK);
    if (u->password[0] != '\0')
        assert_int_equal(buf_addf(out, " password=%s", u->password), ERR_OK);
    if (u->path[0] != '\0')
        assert_int_equal(buf_addf(out, " path=%s", u->path), ERR_OK);
}

static void test_redis_url__parse_and_mask(void **state)
{
    static const struct {
        const char *in, *want, *masked; /* masked NULL: as it is */
    } cases[] = {
        {"embedded", "embedded", NULL},
        {"unix:///run/redis.sock", "unix path=/run/redis.sock", NULL},
        {"unix:///run/a@b:c.sock", "unix path=/run/a@b:c.sock", NULL},
        {"redis://h", "single h|6379", NULL},
        {"REDIS://h:1/15", "single h|1 db=15", NULL},
        {"redis://192.0.2.1:7000", "single 192.0.2.1|7000", NULL},
        {"rediss://[2001:db8::1]:7000/2", "single+tls 2001:db8::1|7000 db=2", NULL},
        {"redis://[::1]", "single ::1|6379", NULL},
        {"redis://u:p@h", "single h|6379 user=u password=p", "redis://u:***@h"},
        {"redis://:p%40%3a@h", "single h|6379 password=p@:", "redis://:***@h"},
        {"redis://u:p/w@x@h/1", "single h|6379 db=1 user=u password=p/w@x", "redis://u:***@h/1"},
        {"redis-sentinel://h1:26379,h2/mymaster", "sentinel h1|26379 h2|26379 master=mymaster", NULL},
        {"redis-sentinel://h1/m/3", "sentinel h1|26379 db=3 master=m", NULL},
        {"rediss-sentinel://a:b@h1/m", "sentinel+tls h1|26379 master=m user=a password=b",
         "rediss-sentinel://a:***@h1/m"},
        {"redis-cluster://h1,h2:7001", "cluster h1|6379 h2|7001", NULL},
        {"rediss-cluster://h1", "cluster+tls h1|6379", NULL},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct redis_url u;
        struct errctx ec = {{0}};
        struct buf out;
        buf_init(&out, 1024);
        if (redis_url_parse(span_cstr(c->in), &u, &ec) != ERR_OK)
            fail_msg("%s: %s", c->in, ec.msg);
        describe(&u, &out);
        check_span(buf_span(&out), span_cstr(c->want));
        buf_clear(&out);
        assert_int_equal(redis_url_mask(span_cstr(c->in), &out), ERR_OK);
        check_span(buf_span(&out), span_cstr(c->masked != NULL ? c->masked : c->in));
        buf_done(&out);
    }
}

static void test_redis_url__refused(void **state)
{
    static const char *const cases[] = {
        "",
        "h:6379",
        "http://h",
        "embedded:x",
        "redis://",
        "redis:///0",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:x",
        "redis://h/x",
        "redis://h/65536",
        "redis://h1,h2",
        "redis://::1",
        "redis://[::1",
        "redis://[h]",
        "redis://[::1]x",
        "redis://u:%4@h",
        "redis://u:%00@h",
        "redis://a_b",
        "redis-sentinel://h1",
        "redis-sentinel://h1/",
        "redis-sentinel:///m",
        "redis-cluster://h1/0",
        "redis-cluster://h1,",
        "redis-cluster://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
        "unix://",
        "unix:///"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxx",
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct redis_url u = {.kind = REDIS_CLUSTER};
        struct errctx ec = {{0}};
        if (redis_url_parse(span_cstr(*c), &u, &ec) != ERR_PARSE)
            fail_msg("accepted: %s", *c);
        assert_true(strlen(ec.msg) > 10);
        assert_int_equal(u.kind, REDIS_CLUSTER);
    }
}

static void test_redis_url__messages_keep_the_password(void **state)
{
    struct redis_url u;
    struct errctx ec;
    (void)state;
    assert_int_equal(redis_url_parse(SPAN("redis://u:hunter2@bad host"), &u, &ec), ERR_PARSE);
    assert_null(strstr(ec.msg, "hunter2"));
    assert_int_equal(redis_url_parse(SPAN("redsi://u:hunter2@h"), &u, &ec), ERR_PARSE);
    assert_null(strstr(ec.msg, "hunter2"));
}

static void test_durability__parse(void **state)
{
    static const struct {
        const char *in;
        enum err err;
        enum durability_kind kind;
        unsigned replicas;
    } cases[] = {
        {"fsync", ERR_OK, DURABILITY_FSYNC, 0},
        {"all", ERR_OK, DURABILITY_ALL, 0},
        {"replicas:all", ERR_OK, DURABILITY_ALL, 0},
        {"replicas:1", ERR_OK, DURABILITY_REPLICAS, 1},
        {"replicas: 16", ERR_OK, DURABILITY_REPLICAS, 16},
        {"replicas:17", ERR_PARSE, 0, 0},
        {"replicas:0", ERR_PARSE, 0, 0},
        {"replicas:", ERR_PARSE, 0, 0},
        {"replicas", ERR_PARSE, 0, 0},
        {"fsync:1", ERR_PARSE, 0, 0},
        {"all:", ERR_PARSE, 0, 0},
        {"FSYNC", ERR_PARSE, 0, 0},
        {"", ERR_PARSE, 0, 0},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct durability d = {0};
        assert_int_equal(durability_parse(span_cstr(c->in), &d, NULL), c->err);
        assert_int_equal(d.kind, c->kind);
        assert_int_equal(d.replicas, c->replicas);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_redis_url__parse_and_mask),
                     cmocka_unit_test(test_redis_url__refused),
                     cmocka_unit_test(test_redis_url__messages_keep_the_password),
                     cmocka_unit_test(test_durability__parse));
}
