/* tests/unit/common/config/test_show.c — settings back as text: YAML, restart rule, schema, reference. */
#include "tests/unit/check.h"

#include "common/config/config.h"
#include "common/config/exchange.h"
#include "common/config/table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config *parsed(const char *yaml)
{
    struct config *c = NULL;
    struct errctx ec = {{0}};
    if (config_parse(span_cstr(yaml), "test.yaml", "/base", NULL, &c, NULL, &ec) != ERR_OK)
        fail_msg("%s", ec.msg);
    return c;
}

static const char rich[] =
    "organization: a-b\n"
    "redis: {url: 'redis-sentinel://h1,h2/m', durability: all}\n"
    "virtual_servers:\n"
    "  - {name: one, listen: ['127.0.0.1:1', '[::1]:1'], tls: {min_version: 1.3}}\n"
    "  - {name: two, listen: 127.0.0.1:2, banner: 'quo\"te \\ ä', relay_from: ['::/0']}\n"
    "delivery: {retry: {glitch: [], schedule: [90s, 1h]}, tls: verified}\n"
    "local_domains: [{domain: x.example, deliver: 'maildir:/m/%d'}]\n"
    "connectors:\n"
    "  - name: c\n"
    "    address_spaces: [{space: '*'}, {space: a.example, cost: 7}]\n"
    "    accept_from: ['\"a, b\"@x.example']\n";

/* What is shown loads again, and shows the same. */
static void test_show__is_a_fixed_point(void **state)
{
    static const char *const files[] = {"", rich};
    (void)state;
    CHECK_EACH (files, f) {
        struct buf once, twice, keys;
        buf_init(&once, 1 << 20);
        buf_init(&twice, 1 << 20);
        buf_init(&keys, 4096);
        struct config *c = parsed(*f);
        assert_int_equal(config_show(c, &once), ERR_OK);
        struct config *back = parsed(buf_cstr(&once));
        assert_int_equal(config_show(back, &twice), ERR_OK);
        check_span(buf_span(&twice), buf_span(&once));
        assert_int_equal(config_restart_needed(c, back, &keys), ERR_OK);
        check_span(buf_span(&keys), SPAN(""));
        config_unref(c);
        config_unref(back);
        buf_done(&once);
        buf_done(&twice);
        buf_done(&keys);
    }
}

/* JSON is YAML: what is shown as JSON loads to the same too. */
static void test_show__json_loads_to_the_same(void **state)
{
    struct buf yaml, json, again;
    json_error_t error;
    (void)state;
    buf_init(&yaml, 1 << 20);
    buf_init(&json, 1 << 20);
    buf_init(&again, 1 << 20);
    struct config *c = parsed(rich);
    assert_int_equal(config_show(c, &yaml), ERR_OK);
    assert_int_equal(config_show_json(c, &json), ERR_OK);
    json_t *root = json_loads(buf_cstr(&json), 0, &error);
    if (root == NULL)
        fail_msg("line %d: %s", error.line, error.text);
    json_decref(root);
    struct config *back = parsed(buf_cstr(&json));
    assert_int_equal(config_show(back, &again), ERR_OK);
    check_span(buf_span(&again), buf_span(&yaml));
    config_unref(c);
    config_unref(back);
    buf_done(&yaml);
    buf_done(&json);
    buf_done(&again);
}

static void test_show__masks_secrets(void **state)
{
    char path[] = "/tmp/bridgehead-secret-XXXXXX", yaml[256];
    struct buf out;
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0 && write(fd, "hunter2\n", 8) == 8 && close(fd) == 0);
    (void)snprintf(yaml, sizeof yaml, "redis: {url: 'redis://h', password_file: %s}", path);
    struct config *c = parsed(yaml);
    buf_init(&out, 1 << 20);
    assert_int_equal(config_show(c, &out), ERR_OK);
    assert_null(strstr(buf_cstr(&out), "hunter2"));
    assert_non_null(strstr(buf_cstr(&out), path));
    buf_done(&out);
    config_unref(c);
    (void)unlink(path);
}

#define KEYED(file)                                                                                          \
    "routing_group: {key_file: " file                                                                        \
    ", organization_key: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}"
static void test_restart__names_the_keys(void **state)
{
    static const struct {
        const char *before, *after, *keys;
    } cases[] = {
        {"", "", ""},
        {"", "delivery: {port: 26}", ""},
        {"", "log: {level: debug}", ""},
        {"", "log: {format: json}", "log.format\n"},
        {"", "redis: {url: 'redis://h'}\ndata_dir: /x", "redis.url\ndata_dir\n"},
        {"", "node: {grace: 1s}\ndelivery: {grace: 1s}", "delivery.grace\nnode.grace\n"},
        {KEYED("a"), KEYED("b"), ""},
        {"", KEYED("b"), "routing_group.key_file\n"},
        {"", "organization: x\nrouting_group: {name: y}", ""},
        {"", "connectors: [{name: c, address_spaces: [{space: '*'}]}]", ""},
        {"virtual_servers: [{name: a}]", "virtual_servers: [{name: a, listen: '127.0.0.1:1'}]", ""},
        {"virtual_servers: [{name: a}]", "virtual_servers: [{name: a, max_hops: 10}]", ""},
        {"virtual_servers: [{name: a}]", "virtual_servers: [{name: a}, {name: b, listen: '127.0.0.1:1'}]",
         ""},
        {"resolver: {servers: [192.0.2.1]}", "", "resolver.servers\n"},
    };
    (void)state;
    CHECK_EACH (cases, c) {
        struct buf keys;
        struct config *a = parsed(c->before), *b = parsed(c->after);
        buf_init(&keys, 4096);
        assert_int_equal(config_restart_needed(a, b, &keys), ERR_OK);
        check_span(buf_span(&keys), span_cstr(c->keys));
        buf_done(&keys);
        config_unref(a);
        config_unref(b);
    }
}

/* Follows "a.b[].c" through the table; NULL: there is no such key. */
static const struct conf_row *find_row(const struct conf_section *s, struct span path)
{
    struct span key, rest;
    size_t nrows;
    const struct conf_row *rows = s->rows(&nrows);
    bool more = span_cut(path, '.', &key, &rest);
    bool list = span_has_isuffix(key, SPAN("[]"));
    if (list)
        key.len -= 2;
    for (size_t i = 0; i < nrows; i++) {
        if (!span_eq(span_cstr(rows[i].key), key))
            continue;
        if (!more)
            return &rows[i];
        return rows[i].sub != NULL && list == (rows[i].kind == ROW_LIST) ? find_row(rows[i].sub, rest) : NULL;
    }
    return NULL;
}

static void test_exchange__names_existing_keys_or_says_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < exchange_setting_count; i++) {
        const struct exchange_setting *x = &exchange_settings[i];
        if (x->key != NULL && find_row(&conf_section_root, span_cstr(x->key)) == NULL)
            fail_msg("%s: no key '%s'", x->setting, x->key);
        if (x->key == NULL && x->note[0] == '\0')
            fail_msg("%s: neither a key nor a reason", x->setting);
    }
}

/* Every key of such a server is in the table, and the default is the same where the key says the same. */
static void test_exchange__knows_every_key_and_keeps_its_default(void **state)
{
    static const struct {
        const char *metabase,
            *def; /* NULL: there is no such number here, or another one, and the note says why */
    } known[] = {
        {"ServerBindings", NULL},
        {"SecureBindings", NULL},
        {"AuthFlags", NULL},
        {"MaxConnections", NULL},
        {"LogType", "false"},
        {"AccessSSLFlags", "false"},
        {"ServerAutoStart", NULL},
        {"NTAuthenticationProviders", NULL},
        {"ConnectionTimeout", "10m"},
        {"MaxOutConnections", "1000"},
        {"RemoteTimeout", NULL},
        {"MaxOutConnectionsPerDomain", "100"},
        {"RemoteSmtpPort", "25"},
        {"RemoteSmtpSecurePort", NULL},
        {"HopCount", "30"},
        {"MaxMessageSize", NULL},
        {"MaxSessionSize", "0"},
        {"MaxRecipients", "64000"},
        {"SmtpLocalNDRExpireMinutes", "2d"},
        {"SmtpRemoteNDRExpireMinutes", "2d"},
        {"SmtpLocalDelayExpireMinutes", "12h"},
        {"SmtpRemoteDelayExpireMinutes", "12h"},
        {"SmartHost", ""},
        {"SmartHostType", NULL},
        {"MaxBatchedMessages", "20"},
        {"RouteAction", NULL},
        {"RouteUserName", NULL},
        {"RoutePassword", NULL},
        {"SmtpInboundCommandSupportOptions", ""},
        {"RelayForAuth", NULL},
        {"EnableReverseDnsLookup", "false"},
        {"DoMasquerade, MasqueradeDomain", ""},
        {"BadMailDirectory", NULL},
        {"SendNdrTo", ""},
        {"SendBadTo", NULL},
        {"FullyQualifiedDomainName", ""},
        {"PickupDirectory", NULL},
        {"QueueDirectory", NULL},
        {"SmtpRemoteProgressiveRetry", "10m, 10m, 10m, 15m"},
        {"RelayIpList", ""},
    };
    (void)state;
    CHECK_EACH (known, k) {
        const struct exchange_setting *x = NULL;
        for (size_t i = 0; i < exchange_setting_count && x == NULL; i++)
            if (strcmp(exchange_settings[i].metabase, k->metabase) == 0)
                x = &exchange_settings[i];
        if (x == NULL)
            fail_msg("%s is missing", k->metabase);
        else if (k->def != NULL)
            assert_string_equal(find_row(&conf_section_root, span_cstr(x->key))->def, k->def);
        else
            assert_true(x->note[0] != '\0');
    }
}

static void test_schema__is_json_and_knows_every_key(void **state)
{
    struct buf out;
    json_error_t error;
    (void)state;
    buf_init(&out, 1 << 20);
    assert_int_equal(config_schema(&out), ERR_OK);
    json_t *root = json_loads(buf_cstr(&out), 0, &error);
    if (root == NULL)
        fail_msg("line %d: %s", error.line, error.text);
    json_t *servers = json_object_get(json_object_get(root, "properties"), "virtual_servers");
    json_t *server = json_object_get(servers, "items");
    json_t *hops = json_object_get(json_object_get(server, "properties"), "max_hops");
    assert_int_equal(json_integer_value(json_object_get(hops, "maximum")), 256);
    assert_int_equal(json_integer_value(json_object_get(hops, "default")), 30);
    assert_string_equal(json_string_value(json_array_get(json_object_get(server, "required"), 0)), "name");
    assert_true(json_is_false(json_object_get(root, "additionalProperties")));
    json_decref(root);
    buf_done(&out);
}

static void test_docs__have_every_section(void **state)
{
    static const char *const wanted[] = {"## `redis`",          "## `virtual_servers[].tls`",
                                         "## `delivery.retry`", "## `connectors[].address_spaces[]`",
                                         "`max_hops`",          "MaxOutConnectionsPerDomain"};
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 20);
    assert_int_equal(config_docs(&out), ERR_OK);
    CHECK_EACH (wanted, w)
        assert_non_null(strstr(buf_cstr(&out), *w));
    buf_done(&out);
}

int main(void)
{
    return CHECK_RUN(
        cmocka_unit_test(test_show__is_a_fixed_point), cmocka_unit_test(test_show__json_loads_to_the_same),
        cmocka_unit_test(test_show__masks_secrets), cmocka_unit_test(test_restart__names_the_keys),
        cmocka_unit_test(test_exchange__names_existing_keys_or_says_why_not),
        cmocka_unit_test(test_exchange__knows_every_key_and_keeps_its_default),
        cmocka_unit_test(test_schema__is_json_and_knows_every_key),
        cmocka_unit_test(test_docs__have_every_section));
}
