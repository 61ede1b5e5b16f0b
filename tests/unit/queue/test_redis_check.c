#include "queue/redis_check.h"
#include "tests/unit/check.h"

#include <string.h>

static struct redis_facts good(void)
{
    return (struct redis_facts){
        .version = "7.0.15",
        .major = 7,
        .aof = true,
        .master = true,
        .config_known = true,
        .appendfsync = "always",
        .no_appendfsync_on_rewrite = "no",
        .maxmemory_policy = "noeviction",
        .maxmemory = 1 << 30,
        .min_replicas = 1,
        .listpack_value = 1024,
        .replicas = 2,
        .priorities_equal = true,
    };
}

static const struct redis_promise fsync_only = {REDIS_FSYNC, 0}, one_replica = {REDIS_REPLICAS, 1},
                                  all_replicas = {REDIS_ALL, 0};

static void expect(const struct redis_facts *f, const struct redis_promise *p, const char *refused,
                   const char *warned)
{
    struct buf refusals, warnings;
    buf_init(&refusals, 4096);
    buf_init(&warnings, 4096);
    bool usable = redis_check(f, p, &refusals, &warnings);
    assert_int_equal(usable, refused == NULL);
    if (refused == NULL)
        assert_string_equal(buf_cstr(&refusals), "");
    else if (strncmp(buf_cstr(&refusals), refused, strlen(refused)) != 0)
        fail_msg("refused: %s", buf_cstr(&refusals));
    if (warned == NULL)
        assert_string_equal(buf_cstr(&warnings), "");
    else if (strncmp(buf_cstr(&warnings), warned, strlen(warned)) != 0)
        fail_msg("warned: %s", buf_cstr(&warnings));
    buf_done(&refusals);
    buf_done(&warnings);
}

static void each_setting_has_its_consequence(void **state)
{
    (void)state;
    struct redis_facts f = good();
    expect(&f, &fsync_only, NULL, NULL);
    expect(&f, &one_replica, NULL, NULL);
    expect(&f, &all_replicas, NULL, NULL);

    f = good(), f.major = 6;
    expect(&f, &fsync_only, "Redis is older than 7.0", NULL);
    f = good(), memcpy(f.maxmemory_policy, "allkeys-lru", 12);
    expect(&f, &one_replica, "maxmemory-policy", NULL);
    f = good(), f.aof = false;
    expect(&f, &fsync_only, "appendonly", NULL);
    expect(&f, &one_replica, "appendonly", NULL);
    f = good(), memcpy(f.appendfsync, "everysec", 9);
    expect(&f, &fsync_only, "appendfsync", NULL);
    expect(&f, &one_replica, NULL, "appendfsync");
    f = good(), memcpy(f.no_appendfsync_on_rewrite, "yes", 4);
    expect(&f, &fsync_only, "no-appendfsync-on-rewrite", NULL);
    f = good(), f.config_known = false, f.appendfsync[0] = '\0';
    expect(&f, &fsync_only, NULL, "CONFIG GET");
    f = good(), f.aof_failing = true;
    expect(&f, &fsync_only, NULL, "Redis cannot write its AOF");
    f = good(), f.replicas = 0;
    expect(&f, &fsync_only, NULL, NULL);
    expect(&f, &one_replica, NULL, "fewer replicas");
    expect(&f, &all_replicas, NULL, "fewer replicas");
    f = good(), f.replicas = 1;
    expect(&f, &(struct redis_promise){REDIS_REPLICAS, 2}, NULL, "fewer replicas");
    expect(&f, &all_replicas, NULL, NULL);
    f = good(), f.min_replicas = 0;
    expect(&f, &one_replica, NULL, "min-replicas-to-write");
    f = good(), f.sentinel = true;
    expect(&f, &fsync_only, NULL, "redis.durability is fsync behind Sentinel");
    f.priorities_equal = false;
    expect(&f, &one_replica, "replica-priority", NULL);
    expect(&f, &all_replicas, NULL, NULL);
    f = good(), f.maxmemory = 0;
    expect(&f, &fsync_only, NULL, "maxmemory is not set");
    f = good(), f.listpack_value = 64;
    expect(&f, &fsync_only, NULL, "hash-max-listpack-value");
}

/* What cannot be told any more is judged all the same. */
static void warnings_without_room_hide_no_refusal(void **state)
{
    (void)state;
    struct redis_facts f = good();
    f.aof_failing = true; /* a warning, before the refusal */
    memcpy(f.appendfsync, "no", 3);
    struct buf refusals, warnings;
    buf_init(&refusals, 4096);
    buf_init(&warnings, 1);
    assert_false(redis_check(&f, &fsync_only, &refusals, &warnings));
    assert_non_null(strstr(buf_cstr(&refusals), "appendfsync"));
    buf_done(&refusals);
    buf_done(&warnings);
}

static void info_is_read(void **state)
{
    (void)state;
    struct redis_facts f = {0};
    redis_facts_info(
        &f, SPAN("# Server\r\nredis_version:7.2.6\r\nrun_id:abc\r\n\r\n# Replication\r\nrole:master\r\n"
                 "connected_slaves:2\r\nmaster_replid:111\r\nmaster_replid2:222\r\n"
                 "master_repl_offset:1234\r\nsecond_repl_offset:-1\r\naof_enabled:1\r\n"
                 "aof_last_write_status:ok\r\nmaxmemory_policy:noeviction\r\nbroken line\r\n:\r\n"));
    assert_int_equal(f.major, 7);
    assert_string_equal(f.version, "7.2.6");
    assert_string_equal(f.run_id, "abc");
    assert_string_equal(f.replid, "111");
    assert_string_equal(f.replid2, "222");
    assert_int_equal(f.offset, 1234);
    assert_int_equal(f.second_offset, 0);
    assert_int_equal(f.replicas, 2);
    assert_true(f.aof && f.master && !f.aof_failing);
    redis_facts_info(&f, SPAN(""));
    redis_facts_info(&f,
                     SPAN("redis_version:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    assert_int_equal(strlen(f.version), sizeof f.version - 1);
    assert_int_equal(f.major, 7);
}

static void promises(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err want;
        enum redis_durability kind;
        unsigned replicas;
    } cases[] = {
        {"fsync", ERR_OK, REDIS_FSYNC, 0},
        {"all", ERR_OK, REDIS_ALL, 0},
        {"replicas:1", ERR_OK, REDIS_REPLICAS, 1},
        {"replicas: 2", ERR_OK, REDIS_REPLICAS, 2},
        {"replicas:all", ERR_OK, REDIS_ALL, 0},
        {"replicas:0", ERR_CONFIG, REDIS_FSYNC, 0},
        {"replicas:17", ERR_CONFIG, REDIS_FSYNC, 0},
        {"replicas", ERR_CONFIG, REDIS_FSYNC, 0},
        {"", ERR_CONFIG, REDIS_FSYNC, 0},
        {"everysec", ERR_CONFIG, REDIS_FSYNC, 0},
    };
    CHECK_EACH (cases, c) {
        struct redis_promise p = {REDIS_FSYNC, 0};
        assert_int_equal(redis_promise_parse(span_cstr(c->text), &p, NULL), c->want);
        assert_int_equal(p.kind, c->kind);
        assert_int_equal(p.replicas, c->replicas);
    }
}

static void room(void **state)
{
    (void)state;
    static const uint64_t mib = 1 << 20;
    const struct {
        uint64_t used, max;
        bool room;
    } cases[] = {
        {0, 0, true},
        {255 * mib, 0, true},
        {256 * mib, 0, false},
        {200 * mib, 1024 * mib, true},
        {24 * mib, 100 * mib, true},
        {25 * mib, 100 * mib, false},
        {UINT64_MAX, 0, false}, /* not known */
    };
    CHECK_EACH (cases, c) {
        struct redis_facts f = {.used_memory = c->used, .maxmemory = c->max};
        assert_int_equal(redis_has_room(&f), c->room);
    }
}

int main(void)
{
    return CHECK_RUN(cmocka_unit_test(each_setting_has_its_consequence),
                     cmocka_unit_test(warnings_without_room_hide_no_refusal), cmocka_unit_test(info_is_read),
                     cmocka_unit_test(promises), cmocka_unit_test(room));
}
