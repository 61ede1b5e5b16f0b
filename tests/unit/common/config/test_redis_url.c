#include "common/config/redis_url.h"
#include "tests/unit/check.h"

#include <string.h>

static void show(const struct redis_url *u, char *out, size_t size)
{
    static const char *const kinds[] = {"single", "sentinel", "cluster"};
    int n = snprintf(out, size, "%s%s%s db=%u", kinds[u->kind], u->tls ? " tls" : "",
                     u->embedded ? " embedded" : "", u->db);
    if (u->unix_path[0] != '\0')
        n += snprintf(out + n, size - (size_t)n, " %s", u->unix_path);
    for (size_t i = 0; i < u->nhosts; i++)
        n += snprintf(out + n, size - (size_t)n, " %s|%u", u->hosts[i].name, u->hosts[i].port);
    if (u->master[0] != '\0')
        (void)snprintf(out + n, size - (size_t)n, " master=%s", u->master);
}

static void forms_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *url, *want;
    } cases[] = {
        {"embedded", "single embedded db=0 /data/redis/redis.sock"},
        {"unix:///run/redis/redis.sock", "single db=0 /run/redis/redis.sock"},
        {"unix:///run/redis.sock?db=3", "single db=3 /run/redis.sock"},
        {"redis://h", "single db=0 h|6379"},
        {"redis://h:7000/0", "single db=0 h|7000"},
        {"redis://h/12", "single db=12 h|6379"},
        {"redis://h/", "single db=0 h|6379"},
        {"redis://192.0.2.1:1", "single db=0 192.0.2.1|1"},
        {"redis://[2001:db8::1]", "single db=0 2001:db8::1|6379"},
        {"rediss://[2001:db8::1]:7000/2", "single tls db=2 2001:db8::1|7000"},
        {"redis-sentinel://h1:26379,h2/mymaster", "sentinel db=0 h1|26379 h2|26379 master=mymaster"},
        {"rediss-sentinel://h1/m/4", "sentinel tls db=4 h1|26379 master=m"},
        {"redis-cluster://h1,h2:7001", "cluster db=0 h1|6379 h2|7001"},
        {"rediss-cluster://h1", "cluster tls db=0 h1|6379"},
    };
    CHECK_EACH (cases, c) {
        struct redis_url u;
        struct errctx ec;
        char text[512];
        if (redis_url_parse(span_cstr(c->url), "/data", &u, &ec) != ERR_OK)
            fail_msg("%s", ec.msg);
        show(&u, text, sizeof text);
        assert_string_equal(text, c->want);
    }
}

static void others_are_refused_with_advice(void **state)
{
    (void)state;
    static const struct {
        const char *url, *advice;
    } cases[] = {
        {"", "want embedded"},
        {"localhost", "want embedded"},
        {"http://h", "want embedded"},
        {"unix://relative", "absolute"},
        {"unix://", "absolute"},
        {"unix:///s?x=1", "db=NUMBER"},
        {"unix:///s?db=x", "db=NUMBER"},
        {"redis://", "want host"},
        {"redis://:6379", "want host"},
        {"redis://h:0", "want host"},
        {"redis://h:65536", "want host"},
        {"redis://h:", "want host"},
        {"redis://[::1", "want host"},
        {"redis://[::1]x", "want host"},
        {"redis://h h", "want host"},
        {"redis://h/x", "database is a number"},
        {"redis://h/70000", "database is a number"},
        {"redis://a,b", "one server"},
        {"redis://user:secret@h", "password_file"},
        {"redsi://user:secret@h", "want embedded"},
        {"redis-sentinel://h", "name of the master"},
        {"redis-sentinel://h/", "name of the master"},
        {"redis-sentinel://h/m/x", "database is a number"},
        {"redis-sentinel://h,,h2/m", "want host"},
        {"redis-cluster://h/0", "no numbered databases"},
        {"redis-cluster://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "up to 16"},
    };
    CHECK_EACH (cases, c) {
        struct redis_url u = {.db = 77};
        struct errctx ec = {""};
        if (redis_url_parse(span_cstr(c->url), "/data", &u, &ec) != ERR_CONFIG)
            fail_msg("accepted '%s'", c->url);
        if (strstr(ec.msg, c->advice) == NULL)
            fail_msg("'%s' says: %s", c->url, ec.msg);
        assert_int_equal(u.db, 77);
        assert_null(strstr(ec.msg, "secret"));
    }
}

static void long_paths_are_refused(void **state)
{
    (void)state;
    char url[300], dir[300];
    struct redis_url u;
    struct errctx ec;
    memset(dir, 'd', sizeof dir - 1);
    dir[sizeof dir - 1] = '\0';
    (void)snprintf(url, sizeof url, "unix:///%.120s", dir);
    assert_int_equal(redis_url_parse(span_cstr(url), "/data", &u, &ec), ERR_CONFIG);
    assert_int_equal(redis_url_parse(SPAN("embedded"), dir, &u, &ec), ERR_CONFIG);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(forms_are_understood), cmocka_unit_test(others_are_refused_with_advice),
                     cmocka_unit_test(long_paths_are_refused));
}
