/* cli/cmd_config.c — the configuration: checked, shown, described. */
#include "cli/commands.h"
#include "cli/config_review.h"
#include "cli/remote.h"
#include "common/io/tls.h"
#include "router/router.h"

#include <jansson.h>
#include <stdio.h>

extern char **environ;

enum { LIVE_TIMEOUT_MS = 10000 };
enum { PROBLEMS_BYTES_MAX = 1 << 20, SHOWN_BYTES_MAX = 64 << 20 };

static int print_or_fail(struct cli *cli, enum err e, struct buf *out)
{
    int code = e == ERR_OK ? cli_print(out) : cli_fail(cli, CLI_FAILED, "%s", err_text(e));
    buf_done(out);
    return code;
}

/* --- config check --------------------------------------------------------------------------------- */

static void add_problem(struct buf *problems, const char *file, const char *key, const char *why)
{
    (void)!buf_addf(problems, "%s: %s: %s\n", file, key, why); /* a full report is a report all the same */
}

void config_check_certificates(const struct conf_root *root, const char *file, struct buf *problems)
{
    const char *const stores[][2] = {{"redis.ca_file", root->redis.ca_file},
                                     {"delivery.ca_file", root->delivery.ca_file}};
    struct tls_context *tls;
    struct errctx ec;
    for (size_t i = 0; i < root->virtual_servers.count; i++) {
        const struct conf_tls *t = &root->virtual_servers.items[i].tls;
        char key[64];
        if (t->certificate[0] == '\0')
            continue;
        (void)snprintf(key, sizeof key, "virtual_servers[%zu].tls", i);
        if (tls_server_new(t->certificate, t->key, (enum tls_min)t->min_version, &tls, &ec) == ERR_OK)
            tls_unref(tls);
        else
            add_problem(problems, file, key, ec.msg);
    }
    for (size_t i = 0; i < ARRAY_LEN(stores); i++) {
        if (stores[i][1][0] == '\0')
            continue;
        if (tls_client_new(stores[i][1], true, &tls, &ec) == ERR_OK)
            tls_unref(tls);
        else
            add_problem(problems, file, stores[i][0], ec.msg);
    }
}

/* What the loader cannot see: certificates and keys that are missing, or do not belong together. */
static void check_files(const char *file, const struct conf_root *root, struct buf *problems)
{
    struct errctx ec;
    config_check_certificates(root, file, problems);
    if (router_check(root, &ec) != ERR_OK)
        add_problem(problems, file, "routing_group", ec.msg);
}

/* What works, but not as it should. */
static void check_advice(const char *file, const struct conf_root *root, struct buf *warnings)
{
    if (root->local_domains.count == 0 && root->delivery.dsn.postmaster[0] == '\0')
        add_problem(
            warnings, file, "delivery.dsn.postmaster",
            "not set, and there are no local_domains: mail to <postmaster> is refused, against RFC 5321 "
            "4.5.1; name the address that shall get it");
}

static json_t *lines_of(struct span text)
{
    struct span line;
    json_t *list = json_array();
    while (text.len > 0) {
        (void)span_cut(text, '\n', &line, &text);
        (void)json_array_append_new(list, json_stringn(line.ptr, line.len));
    }
    return list;
}

static int print_json(const char *file, struct span problems, struct span warnings)
{
    json_t *root = json_pack("{s:s, s:b, s:o, s:o}", "file", file, "ok", problems.len == 0, "problems",
                             lines_of(problems), "warnings", lines_of(warnings));
    int code = root != NULL && json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF
                   ? CLI_OK
                   : CLI_FAILED;
    json_decref(root);
    return code;
}

static int print_text(const char *file, const struct buf *problems, const struct buf *warnings, size_t tried)
{
    (void)fputs(buf_cstr(problems), stderr);
    for (struct span line, rest = buf_span(warnings); rest.len > 0;) {
        (void)span_cut(rest, '\n', &line, &rest);
        (void)fprintf(stderr, "warning: " SPAN_FMT "\n", SPAN_ARG(line));
    }
    if (problems->len > 0)
        return CLI_OK;
    if (tried > 0)
        return printf("%s is in order; %zu target%s\n", file, tried, tried == 1 ? " answers" : "s answer") < 0
                   ? CLI_FAILED
                   : CLI_OK;
    return printf("%s is in order\n", file) < 0 ? CLI_FAILED : CLI_OK;
}

/* Beyond what the loader sees. */
static int review(struct cli *cli, struct buf *problems, struct buf *warnings, size_t *ret_tried)
{
    const char *timeout = cli_opt(cli, "timeout");
    struct errctx ec = {""};
    ms_t ms = LIVE_TIMEOUT_MS;
    if (timeout != NULL && (duration_parse(span_cstr(timeout), &ms) != ERR_OK || ms == 0))
        return cli_fail(cli, CLI_USAGE, "--timeout takes 10s or 2m, not '%s'", timeout);
    check_files(cli->config_path, config_root(cli->conf), problems);
    check_advice(cli->config_path, config_root(cli->conf), warnings);
    enum err e = config_warnings(cli->conf, cli->config_path, warnings);
    if (e == ERR_OK && cli_opt(cli, "live") != NULL)
        e = config_try_targets(cli->conf, cli->config_path, ms, problems, ret_tried, &ec);
    if (e == ERR_OK)
        return cli_opt(cli, "live") != NULL ? config_try_sources(cli, problems) : CLI_OK;
    return cli_fail(cli, CLI_FAILED, "%s%s%s", err_text(e), ec.msg[0] != '\0' ? ": " : "", ec.msg);
}

int cmd_config_check(struct cli *cli)
{
    struct buf problems, warnings;
    struct errctx ec = {""};
    size_t tried = 0;
    int code = CLI_OK;
    if (cli->nargs == 1)
        cli->config_path = cli->args[0];
    buf_init(&problems, PROBLEMS_BYTES_MAX);
    buf_init(&warnings, PROBLEMS_BYTES_MAX);
    enum err e = config_load_marked(cli->config_path, environ, &cli->conf, &problems, &ec);
    if (e == ERR_OK)
        code = review(cli, &problems, &warnings, &tried);
    if (code == CLI_OK && cli->output == CLI_JSON)
        code = print_json(cli->config_path, buf_span(&problems), buf_span(&warnings));
    else if (code == CLI_OK)
        code = print_text(cli->config_path, &problems, &warnings, tried);
    if (code == CLI_OK && (e != ERR_OK || problems.len > 0))
        code = CLI_CONFIG;
    buf_done(&problems);
    buf_done(&warnings);
    return code;
}

/* --- config show, config schema ------------------------------------------------------------------- */

int cmd_config_schema(struct cli *cli)
{
    struct buf out;
    buf_init(&out, SHOWN_BYTES_MAX);
    return print_or_fail(cli, config_schema(&out), &out);
}

int cmd_config_show(struct cli *cli)
{
    struct buf out;
    struct config *c = cli_config(cli);
    if (c == NULL)
        return CLI_CONFIG;
    buf_init(&out, SHOWN_BYTES_MAX);
    return print_or_fail(cli, cli->output == CLI_JSON ? config_show_json(c, &out) : config_show(c, &out),
                         &out);
}
