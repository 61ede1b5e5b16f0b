/* tests/unit/cli/test_embedded_redis.c — mirrors cli/embedded_redis.c */
#include "cli/embedded_redis.h"
#include "tests/unit/check.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_embedded_redis__keeps_the_promised_durability(void **state)
{
    static const char *const lines[] = {"appendonly yes\n",
                                        "appendfsync always\n",
                                        "no-appendfsync-on-rewrite no\n",
                                        "maxmemory-policy noeviction\n",
                                        "port 0\n",
                                        "dir \"/a b/redis\"\n",
                                        "unixsocket \"/a b/redis/redis.sock\"\n"};
    (void)state;
    char dir[] = "/a b";
    struct conf_root conf = {.data_dir = dir};
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(embedded_redis_conf(&conf, &out, NULL), ERR_OK);
    CHECK_EACH (lines, line) {
        if (strstr(buf_cstr(&out), *line) == NULL)
            fail_msg("'%s' is missing in:\n%s", *line, buf_cstr(&out));
    }
    buf_done(&out);
}

/* The value of maxmemory that Redis is given. */
static uint64_t limit_of(uint64_t embedded_bytes)
{
    char dir[] = "/a";
    struct conf_root conf = {.data_dir = dir, .redis.embedded_bytes = embedded_bytes};
    struct buf out;
    uint64_t n = 0;
    buf_init(&out, 65536);
    assert_int_equal(embedded_redis_conf(&conf, &out, NULL), ERR_OK);
    struct span at = span_cstr(strstr(buf_cstr(&out), "\nmaxmemory ")), line;
    (void)span_cut(span_from(at, sizeof "\nmaxmemory " - 1), '\n', &line, &at);
    assert_true(span_to_u64(line, UINT64_MAX, &n));
    buf_done(&out);
    return n;
}

static void test_embedded_redis__memory_has_a_limit(void **state)
{
    (void)state;
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(limit_of(123456789), 123456789);
    assert_in_range(limit_of(0), machine / 2 - (1 << 20), machine / 2);
}

static void test_embedded_redis__a_path_cannot_write_settings(void **state)
{
    (void)state;
    char dir[] = "/x\"\nport 6379\n\"";
    struct conf_root conf = {.data_dir = dir};
    struct buf out;
    struct errctx ec;
    buf_init(&out, 65536);
    assert_int_equal(embedded_redis_conf(&conf, &out, &ec), ERR_CONFIG);
    assert_non_null(strstr(ec.msg, "data_dir: "));
    buf_done(&out);
}

static void test_embedded_redis__a_path_too_long_for_a_socket_is_named(void **state)
{
    (void)state;
    char dir[201];
    memset(dir, 'd', 200);
    dir[0] = '/';
    dir[200] = '\0';
    struct conf_root conf = {.data_dir = dir};
    struct buf out;
    struct errctx ec;
    buf_init(&out, 65536);
    assert_int_equal(embedded_redis_socket(&conf, &out, &ec), ERR_TOOBIG);
    assert_non_null(strstr(ec.msg, "use a shorter path"));
    buf_done(&out);
}

static void test_embedded_redis__directories_above_are_made(void **state)
{
    (void)state;
    char base[] = "/tmp/bh-test-XXXXXX";
    struct buf path;
    struct stat st;
    assert_non_null(mkdtemp(base));
    buf_init(&path, 4096);
    assert_int_equal(buf_addf(&path, "%s/a/b", base), ERR_OK);
    assert_int_equal(make_directories(buf_cstr(&path), 0700, NULL), ERR_OK);
    assert_int_equal(make_directories(buf_cstr(&path), 0700, NULL), ERR_OK);
    assert_int_equal(stat(buf_cstr(&path), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    (void)rmdir(buf_cstr(&path));
    path.ptr[path.len - 2] = '\0';
    (void)rmdir(buf_cstr(&path));
    (void)rmdir(base);
    buf_done(&path);
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(test_embedded_redis__keeps_the_promised_durability),
                     cmocka_unit_test(test_embedded_redis__memory_has_a_limit),
                     cmocka_unit_test(test_embedded_redis__a_path_cannot_write_settings),
                     cmocka_unit_test(test_embedded_redis__a_path_too_long_for_a_socket_is_named),
                     cmocka_unit_test(test_embedded_redis__directories_above_are_made));
}
