/* tests/unit/common/config/test_config.c — the loader as a whole.
 *
 * golden/NAME.yaml goes in; golden/NAME.out is what must come out: "ok", or every problem. Lines
 * "# env: NAME=value" at the top are the environment. BRIDGEHEAD_TEST_UPDATE=1 rewrites the .out files. */
#include "tests/unit/check.h"

#include "common/config/config.h"
#include "common/config/yaml.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct span slurp(const char *path, struct buf *b)
{
    buf_init(b, 1 << 20);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return SPAN("");
    size_t n = 1;
    while (n > 0) {
        assert_int_equal(buf_reserve(b, 4096), ERR_OK);
        n = fread(b->ptr + b->len, 1, 4096, f);
        buf_wrote(b, n);
    }
    (void)fclose(f);
    return buf_span(b);
}

static void golden_path(const char *name, const char *suffix, char out[512])
{
    (void)snprintf(out, 512, "%s/unit/common/config/golden/%s%s", TESTS_DIR, name, suffix);
}

/* "# env: X=y" lines; the caller frees the strings. */
static size_t env_of(struct span yaml, char *env[16])
{
    size_t n = 0;
    struct span line;
    while (n < 15 && span_cut(yaml, '\n', &line, &yaml) && span_has_prefix(line, SPAN("# env: ")))
        env[n++] = span_dup(span_from(line, 7));
    env[n] = NULL;
    return n;
}

static void run_golden(const char *name)
{
    char path[512], file[128];
    char *env[16];
    struct buf yaml, want, got;
    struct config *c = NULL;
    struct errctx ec = {{0}};
    golden_path(name, ".yaml", path);
    struct span text = slurp(path, &yaml);
    size_t nenv = env_of(text, env);
    (void)snprintf(file, sizeof file, "%s.yaml", name);
    buf_init(&got, 65536);
    enum err e = config_parse(text, file, "/base", env, &c, &got, &ec);
    if (e == ERR_OK)
        assert_int_equal(buf_add(&got, SPAN("ok\n")), ERR_OK);
    else
        assert_int_equal(e, ERR_CONFIG);
    /* the detail is the first problem */
    assert_true(e == ERR_OK || span_has_prefix(buf_span(&got), span_cstr(ec.msg)));
    config_unref(c);
    golden_path(name, ".out", path);
    if (getenv("BRIDGEHEAD_TEST_UPDATE") != NULL) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        (void)fwrite(got.ptr, 1, got.len, f);
        (void)fclose(f);
    }
    struct span expected = slurp(path, &want);
    if (!span_eq(buf_span(&got), expected)) {
        print_error("%s\n", name);
        check_span(buf_span(&got), expected);
    }
    for (size_t i = 0; i < nenv; i++)
        free(env[i]);
    buf_done(&yaml);
    buf_done(&want);
    buf_done(&got);
}

static void test_config__golden_files(void **state)
{
    char dir[512];
    struct dirent **names;
    (void)state;
    golden_path("", "", dir);
    int n = scandir(dir, &names, NULL, alphasort), ran = 0;
    for (int i = 0; i < n; i++) {
        struct span name = span_cstr(names[i]->d_name);
        if (span_has_isuffix(name, SPAN(".yaml"))) {
            char *base = span_dup(span_first(name, name.len - 5));
            run_golden(base);
            free(base);
            ran++;
        }
        free(names[i]);
    }
    free(names);
    assert_true(ran > 20);
}

static struct config *parsed(const char *yaml, char *const *env)
{
    struct config *c = NULL;
    struct errctx ec = {{0}};
    if (config_parse(span_cstr(yaml), "test.yaml", "/base", env, &c, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return c;
}

static void test_config__the_example_means_what_it_says(void **state)
{
    char path[512];
    struct config *c = NULL;
    struct errctx ec;
    (void)state;
    golden_path("example", ".yaml", path);
    assert_int_equal(config_load(path, NULL, &c, NULL, &ec), ERR_OK);
    const struct conf_root *r = config_root(c);
    assert_string_equal(r->organization, "example");
    assert_string_equal(r->routing_group.name, "hq");
    assert_string_equal(r->redis.url, "embedded");
    assert_int_equal(r->virtual_servers.count, 1);
    const struct conf_virtual_server *v = r->virtual_servers.items;
    assert_string_equal(v->listen.items[0], "127.0.0.1:2525");
    assert_int_equal(v->relay_from.items[0].bits, 8);
    assert_int_equal(v->max_message_size, 50 << 20);
    assert_int_equal(v->max_hops, 30);
    assert_int_equal(v->timeouts.command_ms, 600000);
    assert_int_equal(r->delivery.retry.glitch.count, 3);
    assert_int_equal(r->delivery.retry.schedule.items[3], 900000);
    assert_int_equal(r->delivery.retry.expire_ms, 2 * 86400000);
    assert_int_equal(r->connectors.count, 2);
    assert_string_equal(r->connectors.items[0].address_spaces.items[0].space, "*.lab.example");
    assert_true(r->connectors.items[0].allow_relay);
    assert_int_equal(r->connectors.items[1].deliver, CONF_DELIVER_DNS);
    assert_int_equal(r->connectors.items[1].address_spaces.items[0].cost, 10);
    assert_int_equal(r->resolver.servers.count, 0);
    /* relative to the file, absolute in the snapshot */
    assert_true(r->data_dir[0] == '/' && strstr(r->data_dir, "/golden/var") != NULL);
    assert_true(span_has_prefix(span_cstr(r->local_domains.items[0].deliver), SPAN("maildir:/")));
    assert_non_null(strstr(r->local_domains.items[0].deliver, "/golden/var/mail/%d/%u"));
    config_unref(c);
}

static void test_config__an_empty_file_is_all_defaults(void **state)
{
    static const char *const files[] = {"", "# nothing\n", "---\n", "{}"};
    (void)state;
    CHECK_EACH (files, f) {
        struct config *c = parsed(*f, NULL);
        const struct conf_root *r = config_root(c);
        assert_int_equal(r->virtual_servers.count, 1);
        assert_string_equal(r->virtual_servers.items[0].name, "default");
        assert_string_equal(r->virtual_servers.items[0].listen.items[0], "127.0.0.1:2525");
        assert_int_equal(r->virtual_servers.items[0].tls.min_version, 0);
        assert_string_equal(r->redis.durability, "fsync");
        assert_string_equal(r->data_dir, "/base/var");
        assert_int_equal(r->delivery.tls, CONF_TLS_OPPORTUNISTIC);
        assert_int_equal(r->delivery.retry.schedule.count, 4);
        assert_int_equal(r->connectors.count, 0);
        assert_string_equal(r->delivery.ca_file, "");
        config_unref(c);
    }
}

static void test_config__values_are_normalized(void **state)
{
    struct config *c = parsed("redis: {url: 'unix:///r.sock', durability: 'replicas: 2'}\n"
                              "local_domains: [{domain: EXAMPLE.org., deliver: 'lmtp:unix:./lmtp'}]\n"
                              "connectors:\n"
                              "  - name: c\n"
                              "    address_spaces: [{space: '*.EXAMPLE.net'}]\n"
                              "    smart_hosts: [h1, 'h2:2525', '[2001:db8::1]:25']\n"
                              "    priorities: LOW,High\n"
                              "    accept_from: ['A@Example.ORG', '@EXAMPLE.com']\n"
                              "virtual_servers: [{name: v, disable_extensions: chunking}]\n"
                              "delivery: {retry: {expire: 1d12h, glitch: '1m30s,500ms'}}\n",
                              NULL);
    const struct conf_root *r = config_root(c);
    const struct conf_connector *k = r->connectors.items;
    (void)state;
    assert_string_equal(r->redis.url, "unix:///r.sock");
    assert_string_equal(r->redis.durability, "replicas:2");
    assert_string_equal(r->local_domains.items[0].domain, "example.org");
    assert_string_equal(r->local_domains.items[0].deliver, "lmtp:unix:/base/lmtp");
    assert_string_equal(k->address_spaces.items[0].space, "*.example.net");
    assert_int_equal(k->smart_hosts.count, 3);
    assert_string_equal(k->priorities.items[1], "high");
    assert_string_equal(k->accept_from.items[0], "A@example.org");
    assert_string_equal(k->accept_from.items[1], "@example.com");
    assert_string_equal(r->virtual_servers.items[0].disable_extensions.items[0], "CHUNKING");
    assert_int_equal(r->delivery.retry.expire_ms, 36 * 3600000);
    assert_int_equal(r->delivery.retry.glitch.items[0], 90000);
    config_unref(c);
}

static void test_config__environment_wins(void **state)
{
    static const char names[] = "# env: BRIDGEHEAD_REDIS_URL=redis://h:1/2\n"
                                "# env: BRIDGEHEAD_VIRTUAL_SERVERS_0_LISTEN=127.0.0.1:1,127.0.0.1:2\n"
                                "# env: BRIDGEHEAD_VIRTUAL_SERVERS_0_MAX_CONNECTIONS_PER_CLIENT=7\n"
                                "# env: BRIDGEHEAD_CONNECTORS_0_ADDRESS_SPACES_1_SPACE=b.example\n"
                                "# env: BRIDGEHEAD_RESOLVER_SERVERS=\n";
    char *env[16];
    size_t nenv = env_of(span_cstr(names), env);
    struct config *c = parsed("redis: &r {url: embedded}\n"
                              "resolver: {servers: [192.0.2.1]}\n"
                              "connectors:\n"
                              "  - {name: a, address_spaces: &s [{space: a.example}]}\n"
                              "  - {name: b, address_spaces: *s}\n",
                              env);
    const struct conf_root *r = config_root(c);
    (void)state;
    assert_string_equal(r->redis.url, "redis://h:1/2");
    assert_int_equal(r->virtual_servers.items[0].listen.count, 2);
    assert_int_equal(r->virtual_servers.items[0].max_connections_per_client, 7);
    assert_int_equal(r->resolver.servers.count, 0);
    assert_int_equal(r->connectors.items[0].address_spaces.count, 2);
    /* what an alias shares is changed in one place alone */
    assert_int_equal(r->connectors.items[1].address_spaces.count, 1);
    config_unref(c);
    for (size_t i = 0; i < nenv; i++)
        free(env[i]);
}

static void test_config__secrets_come_from_files(void **state)
{
    char path[] = "/tmp/bridgehead-secret-XXXXXX", yaml[256];
    int fd = mkstemp(path);
    struct config *c = NULL;
    struct errctx ec;
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "pass word\r\n", 11), 11);
    (void)snprintf(yaml, sizeof yaml, "redis: {url: 'redis://h', password_file: %s}", path);
    c = parsed(yaml, NULL);
    assert_string_equal(config_root(c)->redis.password_file, "pass word");
    config_unref(c);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(config_parse(span_cstr(yaml), "t", "/", NULL, &c, NULL, &ec), ERR_CONFIG);
    assert_non_null(strstr(ec.msg, "holds no secret"));
    (void)close(fd);
    (void)unlink(path);
    const char *device = "redis: {url: 'redis://h', password_file: /dev/null}";
    assert_int_equal(config_parse(span_cstr(device), "t", "/", NULL, &c, NULL, &ec), ERR_CONFIG);
    assert_non_null(strstr(ec.msg, "not a regular file"));
}

static void test_config__load_tells_missing_from_bad(void **state)
{
    struct config *c = NULL;
    struct errctx ec;
    struct buf problems;
    (void)state;
    buf_init(&problems, 4096);
    assert_int_equal(config_load("/nonexistent/bridgehead.yaml", NULL, &c, &problems, &ec), ERR_NOTFOUND);
    assert_non_null(strstr(buf_cstr(&problems), "/nonexistent/bridgehead.yaml: cannot open"));
    assert_int_equal(config_load("/", NULL, &c, NULL, &ec), ERR_CONFIG);
    buf_done(&problems);
}

/* Not even YAML: the line, what is wrong there, and what to do about it. */
static void test_config__what_is_no_yaml(void **state)
{
    static const struct {
        struct span text;
        const char *problem;
    } cases[] = {
        {SPAN_INIT("a: 1\nb: \"x\0y\"\n"),
         "t:2: not usable YAML: control characters are not allowed at byte 10; remove the character"},
        {SPAN_INIT("\0"),
         "t:1: not usable YAML: control characters are not allowed at byte 0; remove the character"},
        {SPAN_INIT("a: 1\n# \x1b[31m\n"),
         "t:2: not usable YAML: control characters are not allowed at byte 7; remove the character"},
        {SPAN_INIT("a: 1\n# ok\nb: \xff\n"),
         "t:3: not usable YAML: invalid leading UTF-8 octet at byte 13; save the file as UTF-8"},
        {SPAN_INIT("# caf\xe9 \n"),
         "t:1: not usable YAML: invalid trailing UTF-8 octet at byte 6; save the file as UTF-8"},
        {SPAN_INIT("a: \xc3"),
         "t:1: not usable YAML: incomplete UTF-8 octet sequence at byte 3; save the file as UTF-8"},
        {SPAN_INIT("a: \xed\xa0\x80\n"),
         "t:1: not usable YAML: invalid Unicode character at byte 3; save the file as UTF-8"},
        {SPAN_INIT("\x1f\x8b\x08"),
         "t:1: not usable YAML: control characters are not allowed at byte 0; remove the character"},
        {SPAN_INIT("redis:\n\turl: embedded\n"),
         "t:2: not usable YAML: found character that cannot start any token while scanning for the next "
         "token; this is a tab: indent with blanks"},
        {SPAN_INIT("redis:\n  url: embedded\n\tx: y\n"),
         "t:3: not usable YAML: found a tab character that violates indentation while scanning a plain "
         "scalar of line 2; this is a tab: indent with blanks"},
        {SPAN_INIT("# \xc3\xa4\xc3\xa4\nx:\n-\ty: 1\n"),
         "t:3: not usable YAML: found character that cannot start any token while scanning for the next "
         "token; this is a tab: indent with blanks"},
        {SPAN_INIT("a: @x\n"), "t:1: not usable YAML: found character that cannot start any token while "
                               "scanning for the next token; quote a value that begins with one of @ ` %"},
        {SPAN_INIT("a: \"x\nb: y\n"),
         "t:3: not usable YAML: found unexpected end of stream while scanning a quoted scalar of line 1; "
         "close the quote or the bracket that was opened before"},
        {SPAN_INIT("a: {x: 1\nb: y\n"),
         "t:2: not usable YAML: did not find expected ',' or '}' while parsing a flow mapping of line 1; "
         "close the bracket that was opened before, or put a comma"},
        {SPAN_INIT("a: [x, y}\n"), "t:1: not usable YAML: did not find expected ',' or ']' while parsing a "
                                   "flow sequence; close the bracket that was opened before, or put a comma"},
        {SPAN_INIT("a:\n  b: 1\n c: 2\n"), "t:3: not usable YAML: did not find expected key while parsing a "
                                           "block mapping of line 1; indent it like the keys around it"},
        {SPAN_INIT("a: 1\n  b: 2\n"), "t:2: not usable YAML: mapping values are not allowed in this context; "
                                      "indent like the lines around it, and quote a value that holds ': '"},
        {SPAN_INIT("a: b: c\n"), "t:1: not usable YAML: mapping values are not allowed in this context; "
                                 "indent like the lines around it, and quote a value that holds ': '"},
        {SPAN_INIT("a: 1\nb c\n"), "t:3: not usable YAML: could not find expected ':' while scanning a "
                                   "simple key of line 2; write 'key: value'"},
        {SPAN_INIT("%YAML 2.0\n---\na: 1\n"),
         "t:1: not usable YAML: found incompatible YAML document; leave the line out"},
        {SPAN_INIT("%FOO\n---\na: 1\n"),
         "t:1: not usable YAML: found unknown directive name while scanning a directive; leave the line out"},
        {SPAN_INIT("a: \"\\q\"\n"), "t:1: not usable YAML: found unknown escape character while parsing a "
                                    "quoted scalar; look at its quotes, brackets and indentation"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct config *config = NULL;
        struct errctx ec = {{0}};
        assert_int_equal(config_parse(c->text, "t", "/base", NULL, &config, NULL, &ec), ERR_CONFIG);
        assert_string_equal(ec.msg, c->problem);
    }
}

/* What other systems write is the same YAML. */
static void test_config__other_line_ends_and_encodings(void **state)
{
    static const struct span texts[] = {
        SPAN_INIT("\xef\xbb\xbforganization: x\n"), SPAN_INIT("organization: x\r\nlog: {level: warn}\r\n"),
        SPAN_INIT("organization: x\rlog: {level: warn}"), SPAN_INIT("{\"organization\": \"x\"}"),
        SPAN_INIT("\xff\xfeo\0r\0g\0a\0n\0i\0z\0a\0t\0i\0o\0n\0:\0 \0x\0\n\0")};
    (void)state;
    CHECK_EACH (texts, t) {
        struct config *c = NULL;
        struct errctx ec = {{0}};
        if (config_parse(*t, "t", "/base", NULL, &c, NULL, &ec) != ERR_OK)
            fail_msg("%s", ec.msg);
        assert_string_equal(config_root(c)->organization, "x");
        config_unref(c);
    }
}

/* What is bounded, at its bound. */

static enum err parse_text(const struct buf *b, char *why)
{
    struct config *c = NULL;
    struct errctx ec = {{0}};
    enum err e = config_parse(buf_span(b), "t", "/base", NULL, &c, NULL, &ec);
    if (e == ERR_OK)
        config_unref(c);
    (void)snprintf(why, sizeof ec.msg, "%s", ec.msg);
    return e;
}

static void test_config__depth_is_bounded(void **state)
{
    struct buf b;
    char why[512];
    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(buf_addc(&b, '['), ERR_OK);
    assert_int_equal(parse_text(&b, why), ERR_CONFIG);
    assert_non_null(strstr(why, "deeper than 32"));
    buf_done(&b);
}

static void test_config__anchors_are_bounded(void **state)
{
    struct buf b;
    char why[512];
    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(buf_add(&b, SPAN("x: [")), ERR_OK);
    for (int i = 0; i < 300; i++)
        assert_int_equal(buf_addf(&b, "&a%d 1,", i), ERR_OK);
    assert_int_equal(buf_add(&b, SPAN("]")), ERR_OK);
    assert_int_equal(parse_text(&b, why), ERR_CONFIG);
    assert_non_null(strstr(why, "more than 256 anchors"));
    buf_done(&b);
}

/* 4,096 address spaces shared by 10,000 connectors would be 41 million. */
static void test_config__aliases_cannot_multiply(void **state)
{
    struct buf b;
    char why[512];
    (void)state;
    buf_init(&b, 1 << 22);
    assert_int_equal(buf_add(&b, SPAN("connectors:\n- {name: first, address_spaces: &s [")), ERR_OK);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(buf_addf(&b, "{space: s%d.example},", i), ERR_OK);
    assert_int_equal(buf_add(&b, SPAN("]}\n")), ERR_OK);
    for (int i = 0; i < 9999; i++)
        assert_int_equal(buf_addf(&b, "- {name: c%d, address_spaces: *s}\n", i), ERR_OK);
    assert_int_equal(parse_text(&b, why), ERR_CONFIG);
    assert_non_null(strstr(why, "aliases expand"));
    buf_done(&b);
}

static void test_config__problems_are_bounded(void **state)
{
    struct buf b, problems;
    struct config *c = NULL;
    size_t lines = 0;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_init(&problems, 1 << 20);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(buf_addf(&b, "key%d: 1\n", i), ERR_OK);
    assert_int_equal(config_parse(buf_span(&b), "t", "/", NULL, &c, &problems, NULL), ERR_CONFIG);
    for (size_t i = 0; i < problems.len; i++)
        lines += problems.ptr[i] == '\n';
    assert_int_equal(lines, 101);
    assert_non_null(strstr(buf_cstr(&problems), "t: 4900 more problems\n"));
    buf_done(&b);
    buf_done(&problems);
}

static void test_config__many_local_domains_load(void **state)
{
    struct buf b;
    char why[512];
    (void)state;
    buf_init(&b, YAML_BYTES_MAX);
    assert_int_equal(buf_add(&b, SPAN("local_domains:\n")), ERR_OK);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(buf_addf(&b, "- {domain: d%d.example, deliver: 'maildir:m/%%d/%%u'}\n", i), ERR_OK);
    assert_int_equal(parse_text(&b, why), ERR_OK);
    buf_done(&b);
}

int main(void)
{
    return CHECK_RUN(
        cmocka_unit_test(test_config__golden_files),
        cmocka_unit_test(test_config__the_example_means_what_it_says),
        cmocka_unit_test(test_config__an_empty_file_is_all_defaults),
        cmocka_unit_test(test_config__values_are_normalized), cmocka_unit_test(test_config__environment_wins),
        cmocka_unit_test(test_config__secrets_come_from_files),
        cmocka_unit_test(test_config__what_is_no_yaml),
        cmocka_unit_test(test_config__other_line_ends_and_encodings),
        cmocka_unit_test(test_config__load_tells_missing_from_bad),
        cmocka_unit_test(test_config__depth_is_bounded), cmocka_unit_test(test_config__anchors_are_bounded),
        cmocka_unit_test(test_config__aliases_cannot_multiply),
        cmocka_unit_test(test_config__problems_are_bounded),
        cmocka_unit_test(test_config__many_local_domains_load));
}
