/* cli/cmd_keys.c — keys of the organization, of routing groups and of routers: made, certified, shown,
 * replaced. */
#include "cli/commands.h"
#include "cli/table.h"
#include "router/keys.h"

#include <stdio.h>
#include <string.h>

/* The configuration, where it is there: names and files that were not given come from it. */
static const struct conf_root *known(struct cli *cli)
{
    struct errctx ec;
    extern char **environ;
    if (cli->conf == NULL && config_load(cli->config_path, environ, &cli->conf, NULL, &ec) != ERR_OK)
        return NULL;
    return config_root(cli->conf);
}

static struct span given(struct cli *cli, const char *option, const char *configured)
{
    const char *value = cli_opt(cli, option);
    return span_cstr(value != NULL ? value : configured);
}

static int failed(const struct cli *cli, enum err e, const struct errctx *ec)
{
    return cli_fail(cli, e == ERR_NOTFOUND ? CLI_NOTFOUND : CLI_FAILED, "%s", ec->msg);
}

static int serial_option(struct cli *cli, uint64_t normal, uint64_t *ret)
{
    const char *text = cli_opt(cli, "serial");
    *ret = normal;
    if (text != NULL && (!span_to_u64(span_cstr(text), UINT64_MAX, ret) || *ret == 0))
        return cli_fail(cli, CLI_USAGE, "--serial '%s' is not a number above 0", text);
    return CLI_OK;
}

/* --- keys show ------------------------------------------------------------------------------------ */

enum { K_FILE, K_KIND, K_NAME, K_PRINT, K_SERIAL, K_PUBLIC };
static const struct column key_columns[] = {
    [K_FILE] = {"file", "FILE", COLUMN_TEXT, 48},
    [K_KIND] = {"kind", "KIND", COLUMN_TEXT, 0},
    [K_NAME] = {"name", "OF", COLUMN_TEXT, 0},
    [K_PRINT] = {"fingerprint", "FINGERPRINT", COLUMN_TEXT, 0},
    [K_SERIAL] = {"serial", "CERTIFIED", COLUMN_COUNT, 0},
    [K_PUBLIC] = {"public", "PUBLIC KEY", COLUMN_TEXT, 0},
};

static enum err add_row(struct table *t, const char *file, const char *kind, const char *name,
                        const uint8_t key[SIGN_KEY_LEN], uint64_t serial)
{
    char print[KEY_PRINT_LEN + 1], text[KEY_TEXT_LEN + 1];
    key_print(key, print);
    key_text(key, text);
    enum err e = table_row(t);
    if (e == ERR_OK)
        e = table_text(t, K_FILE, span_cstr(file));
    if (e == ERR_OK)
        e = table_text(t, K_KIND, span_cstr(kind));
    if (e == ERR_OK)
        e = table_text(t, K_NAME, span_cstr(name));
    if (e == ERR_OK)
        e = table_text(t, K_PRINT, span_cstr(print));
    if (e == ERR_OK)
        e = table_text(t, K_PUBLIC, span_cstr(text));
    if (e == ERR_OK && serial > 0)
        table_number(t, K_SERIAL, serial);
    return e;
}

static int show_key(struct cli *cli, struct table *t, const char *file, const struct key_file *k)
{
    const char *name = k->kind == KEY_GROUP ? k->group : k->organization;
    return add_row(t, file, key_kind_name(k->kind), name, k->public_, key_serial(k)) == ERR_OK
               ? CLI_OK
               : cli_fail(cli, CLI_FAILED, "out of memory");
}

static int show_file(struct cli *cli, struct table *t, const char *file)
{
    struct key_file k;
    struct errctx ec;
    enum err e = key_file_read(file, &k, &ec);
    if (e != ERR_OK)
        return failed(cli, e, &ec);
    int code = show_key(cli, t, file, &k);
    key_file_wipe(&k);
    return code;
}

static int show_configured(struct cli *cli, struct table *t)
{
    struct config *conf = cli_config(cli);
    int code = conf == NULL ? CLI_CONFIG : CLI_OK;
    if (code != CLI_OK)
        return code;
    const struct conf_routing_group *g = &config_root(conf)->routing_group;
    uint8_t key[SIGN_KEY_LEN];
    if (g->key_file[0] != '\0')
        code = show_file(cli, t, g->key_file);
    if (code == CLI_OK && g->transport_key_file[0] != '\0')
        code = show_file(cli, t, g->transport_key_file);
    if (code == CLI_OK && key_text_parse(span_cstr(g->organization_key), key) &&
        add_row(t, "", "organization", config_root(conf)->organization, key, 0) != ERR_OK)
        code = CLI_FAILED;
    for (size_t i = 0; i < g->neighbours.count && code == CLI_OK; i++)
        for (size_t n = 0; n < g->neighbours.items[i].keys.count && code == CLI_OK; n++)
            if (key_text_parse(span_cstr(g->neighbours.items[i].keys.items[n]), key) &&
                add_row(t, "", "neighbour", g->neighbours.items[i].group, key, 0) != ERR_OK)
                code = CLI_FAILED;
    return code;
}

int cmd_keys_show(struct cli *cli)
{
    struct table *t = table_new(key_columns, ARRAY_LEN(key_columns));
    int code = t == NULL ? cli_fail(cli, CLI_FAILED, "out of memory") : CLI_OK;
    for (size_t i = 0; i < cli->nargs && code == CLI_OK; i++)
        code = show_file(cli, t, cli->args[i]);
    if (code == CLI_OK && cli->nargs == 0)
        code = show_configured(cli, t);
    if (code == CLI_OK)
        code = table_print(t, cli->output, "The configuration names no keys.");
    table_free(t);
    return code;
}

/* --- Making --------------------------------------------------------------------------------------- */

static int write_and_show(struct cli *cli, const char *file, const struct key_file *k, bool replace)
{
    struct errctx ec;
    enum err e = key_file_write(file, k, replace, &ec);
    if (e != ERR_OK)
        return failed(cli, e, &ec);
    struct table *t = table_new(key_columns, ARRAY_LEN(key_columns));
    int code = t == NULL ? CLI_FAILED : show_key(cli, t, file, k);
    if (code == CLI_OK)
        code = table_print(t, cli->output, "");
    table_free(t);
    return code;
}

static enum err read_organization(struct cli *cli, struct key_file *ret, struct errctx *ec)
{
    const char *file = cli_opt(cli, "organization-key");
    enum err e = key_file_read(file, ret, ec);
    if (e == ERR_OK && ret->kind != KEY_ORGANIZATION) {
        key_file_wipe(ret);
        e = err_set(ec, ERR_PARSE, "'%s' is not the key of an organization", file);
    }
    return e;
}

int cmd_keys_make(struct cli *cli)
{
    const struct conf_root *root = known(cli);
    struct key_file k, org;
    struct errctx ec = {""};
    uint64_t serial;
    enum key_kind kind = (enum key_kind)KEY__COUNT;
    for (unsigned i = 0; i < KEY__COUNT; i++)
        if (strcmp(cli->args[0], key_kind_name((enum key_kind)i)) == 0)
            kind = (enum key_kind)i;
    if (kind == KEY__COUNT)
        return cli_fail(cli, CLI_USAGE, "no kind of key '%s'; there are: organization, group, transport",
                        cli->args[0]);
    int code = serial_option(cli, 1, &serial);
    if (code != CLI_OK)
        return code;
    enum err e = key_make(kind, given(cli, "organization", root == NULL ? "" : root->organization),
                          given(cli, "group", root == NULL ? "" : root->routing_group.name), &k, &ec);
    if (e == ERR_OK && kind == KEY_GROUP && cli_opt(cli, "organization-key") != NULL) {
        e = read_organization(cli, &org, &ec);
        if (e == ERR_OK) {
            e = key_certify(&k, &org, serial, &ec);
            key_file_wipe(&org);
        }
    }
    code = e == ERR_OK ? write_and_show(cli, cli->args[1], &k, false) : failed(cli, e, &ec);
    key_file_wipe(&k);
    return code;
}

/* --- Certificates made elsewhere ------------------------------------------------------------------ */

static int print_certificate(struct cli *cli, const struct key_file *org, const uint8_t key[SIGN_KEY_LEN],
                             uint64_t serial)
{
    struct buf cert, out;
    struct errctx ec;
    buf_init(&cert, CERT_MAX);
    buf_init(&out, (size_t)4 * CERT_MAX);
    enum err e = key_certificate(org, span_cstr(cli->args[0]), key, serial, &cert, &ec);
    int code = e == ERR_OK ? CLI_OK : failed(cli, e, &ec);
    for (size_t i = 0; i < cert.len && e == ERR_OK; i++)
        e = buf_addf(&out, "%02x", (unsigned)(uint8_t)cert.ptr[i]);
    if (code == CLI_OK && e == ERR_OK && buf_addc(&out, '\n') == ERR_OK)
        code = cli_print(&out);
    buf_done(&cert);
    buf_done(&out);
    return code;
}

int cmd_keys_certify(struct cli *cli)
{
    uint8_t key[SIGN_KEY_LEN];
    struct key_file org;
    struct errctx ec;
    uint64_t serial;
    int code = serial_option(cli, 1, &serial);
    if (code != CLI_OK)
        return code;
    if (!key_text_parse(span_cstr(cli->args[1]), key))
        return cli_fail(cli, CLI_USAGE, "'%.80s' is not a public key: it has 64 hexadecimal digits",
                        cli->args[1]);
    if (cli_opt(cli, "organization-key") == NULL)
        return cli_fail(cli, CLI_USAGE, "name the organization's key with --organization-key");
    enum err e = read_organization(cli, &org, &ec);
    if (e != ERR_OK)
        return failed(cli, e, &ec);
    code = print_certificate(cli, &org, key, serial);
    key_file_wipe(&org);
    return code;
}

static int organization_public(struct cli *cli, uint8_t ret[SIGN_KEY_LEN])
{
    const struct conf_root *root = known(cli);
    if (!key_text_parse(
            given(cli, "organization-public", root == NULL ? "" : root->routing_group.organization_key), ret))
        return cli_fail(cli, CLI_USAGE,
                        "the organization's public key is needed: routing_group.organization_key in the "
                        "configuration, or --organization-public");
    return CLI_OK;
}

int cmd_keys_install(struct cli *cli)
{
    uint8_t org[SIGN_KEY_LEN];
    struct key_file k;
    struct errctx ec;
    struct buf text;
    int code = organization_public(cli, org);
    if (code != CLI_OK)
        return code;
    enum err e = key_file_read(cli->args[0], &k, &ec);
    if (e != ERR_OK)
        return failed(cli, e, &ec);
    /* The file's own parser reads it: one way to write a certificate. */
    struct key_file with = k;
    with.cert_len = 0;
    buf_init(&text, KEY_FILE_MAX);
    e = key_file_emit(&with, &text);
    if (e == ERR_OK)
        e = buf_addf(&text, "certificate: %s\n", cli->args[1]);
    if (e != ERR_OK)
        (void)err_set(&ec, e, "the certificate is too long");
    else
        e = key_file_parse(buf_span(&text), &with, &ec);
    if (e == ERR_OK)
        e = key_check_certificate(&with, span_of((const char *)with.cert_bytes, with.cert_len), org, &ec);
    if (e == ERR_OK && key_serial(&with) <= key_serial(&k))
        e = err_set(&ec, ERR_PARSE, "its serial, %llu, is not above that of the certificate that is there",
                    (unsigned long long)key_serial(&with));
    code = e == ERR_OK ? write_and_show(cli, cli->args[0], &with, true) : failed(cli, e, &ec);
    if (text.ptr != NULL)
        explicit_bzero(text.ptr, text.len);
    buf_done(&text);
    key_file_wipe(&k);
    key_file_wipe(&with);
    return code;
}

/* --- keys rotate ---------------------------------------------------------------------------------- */

/* The file is replaced in one step by a new key with a certificate of a higher serial, which every router
 * accepts in place of the old one: nothing has to be told to anybody. */
int cmd_keys_rotate(struct cli *cli)
{
    struct key_file old, org, next;
    struct errctx ec;
    uint64_t serial;
    if (cli_opt(cli, "organization-key") == NULL)
        return cli_fail(cli, CLI_USAGE, "name the organization's key with --organization-key");
    enum err e = key_file_read(cli->args[0], &old, &ec);
    if (e != ERR_OK)
        return failed(cli, e, &ec);
    int code = serial_option(cli, key_serial(&old) + 1, &serial);
    if (code == CLI_OK && old.kind != KEY_GROUP)
        code = cli_fail(
            cli, CLI_USAGE,
            "only the key of a group is replaced like this; of a transport key make a new one, add it "
            "to the neighbours' lists, then name its file");
    e = code == CLI_OK ? read_organization(cli, &org, &ec) : ERR_CANCELED;
    if (e == ERR_OK) {
        e = key_make(KEY_GROUP, span_cstr(old.organization), span_cstr(old.group), &next, &ec);
        if (e == ERR_OK)
            e = key_certify(&next, &org, serial, &ec);
        key_file_wipe(&org);
        if (e == ERR_OK)
            code = write_and_show(cli, cli->args[0], &next, true);
        key_file_wipe(&next);
    }
    if (code == CLI_OK && e != ERR_OK)
        code = failed(cli, e, &ec);
    key_file_wipe(&old);
    return code;
}
