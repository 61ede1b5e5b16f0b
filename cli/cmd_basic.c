/* cli/cmd_basic.c — help, version, generated documents, configuration. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 4 << 20 };

typedef enum err text_fn(struct buf *out);

static int print_text(struct cli *cli, text_fn *fn)
{
    struct buf out;
    buf_init(&out, TEXT_MAX);
    enum err e = fn(&out);
    int code = e == ERR_OK ? cli_print(&out) : cli_fail(cli, CLI_FAILED, "%s", err_text(e));
    buf_done(&out);
    return code;
}

static enum err overview(struct buf *out)
{
    return cli_help(NULL, out);
}

int cmd_help(struct cli *cli)
{
    char name[128] = "";
    for (size_t i = 0; i < cli->nargs; i++) {
        size_t n = strlen(name);
        (void)snprintf(name + n, sizeof name - n, "%s%s", i > 0 ? " " : "", cli->args[i]);
    }
    if (cli->nargs == 0)
        return print_text(cli, overview);
    struct buf out;
    buf_init(&out, TEXT_MAX);
    bool found = false;
    struct span family, tail;
    for (size_t i = 0; i < cli_verb_count; i++) {
        const struct verb *v = &cli_verbs[i];
        (void)span_cut(span_cstr(v->name), ' ', &family, &tail);
        if (strcmp(v->name, name) != 0 && !(cli->nargs == 1 && span_eq(family, span_cstr(name))))
            continue;
        if ((found && buf_addf(&out, "\n") != ERR_OK) || cli_help(v, &out) != ERR_OK)
            break;
        found = true;
    }
    int code = found ? cli_print(&out)
                     : cli_fail(cli, CLI_NOTFOUND, "no command '%s'; `bridgehead help` lists them", name);
    buf_done(&out);
    return code;
}

int cmd_version(struct cli *cli)
{
    (void)cli;
    return printf("bridgehead %s\n", BRIDGEHEAD_VERSION) > 0 ? CLI_OK : CLI_FAILED;
}

int cmd_docs(struct cli *cli)
{
    static const struct {
        const char *name;
        text_fn *fn;
    } docs[] = {{"cli", cli_docs}, {"settings", config_docs}};
    for (size_t i = 0; i < ARRAY_LEN(docs); i++)
        if (strcmp(cli->args[0], docs[i].name) == 0)
            return print_text(cli, docs[i].fn);
    return cli_fail(cli, CLI_USAGE, "no document '%s'; there are: cli, settings", cli->args[0]);
}

int cmd_completion(struct cli *cli)
{
    struct buf out;
    buf_init(&out, TEXT_MAX);
    enum err e = cli_completion(span_cstr(cli->args[0]), &out);
    int code = e == ERR_OK ? cli_print(&out)
                           : cli_fail(cli, CLI_USAGE, "no completion for '%s'; there are: bash, zsh, fish",
                                      cli->args[0]);
    buf_done(&out);
    return code;
}

int cmd_config_check(struct cli *cli)
{
    if (cli->nargs == 1)
        cli->config_path = cli->args[0];
    if (cli_config(cli) == NULL)
        return CLI_CONFIG;
    return printf("%s is in order\n", cli->config_path) > 0 ? CLI_OK : CLI_FAILED;
}

int cmd_config_schema(struct cli *cli)
{
    return print_text(cli, config_schema);
}

int cmd_config_show(struct cli *cli)
{
    struct buf out;
    struct config *c = cli_config(cli);
    if (c == NULL)
        return CLI_CONFIG;
    buf_init(&out, 64 << 20);
    enum err e = cli->output == CLI_JSON ? config_show_json(c, &out) : config_show(c, &out);
    int code = e == ERR_OK ? cli_print(&out) : cli_fail(cli, CLI_FAILED, "%s", err_text(e));
    buf_done(&out);
    return code;
}
