/* cli/cmd_daemons.c — starting the daemons, and telling running ones to read their configuration again. */
#include "cli/commands.h"
#include "cli/supervisor.h"
#include "common/log.h"
#include "node/node.h"
#include "router/router.h"
#include "worker/worker.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct config *start(struct cli *cli, const char *program)
{
    struct config *conf = cli_config(cli);
    if (conf != NULL) {
        const struct conf_root *root = config_root(conf);
        log_setup((enum log_level)root->log.level, (enum log_format)root->log.format, program);
    }
    return conf;
}

int cmd_run(struct cli *cli)
{
    struct config *conf = start(cli, "run");
    return conf == NULL ? CLI_CONFIG : supervisor_run(conf, cli->config_path);
}

int cmd_node(struct cli *cli)
{
    struct config *conf = start(cli, "node");
    return conf == NULL ? CLI_CONFIG : node_main(conf, cli->config_path);
}

int cmd_worker(struct cli *cli)
{
    struct config *conf = start(cli, "worker");
    return conf == NULL ? CLI_CONFIG : worker_main(conf, cli->config_path);
}

int cmd_router(struct cli *cli)
{
    struct config *conf = start(cli, "router");
    return conf == NULL ? CLI_CONFIG : router_main(conf, cli->config_path);
}

/* The pid in data_dir/run/NAME.pid; 0: there is none, or its process has gone. */
static pid_t running_pid(const char *path)
{
    char text[32] = "";
    uint64_t pid = 0;
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    struct span line, rest;
    (void)span_cut(span_of(text, n), '\n', &line, &rest);
    return span_to_u64(line, INT32_MAX, &pid) && pid > 1 && kill((pid_t)pid, 0) == 0 ? (pid_t)pid : 0;
}

int cmd_reload(struct cli *cli)
{
    /* `run` passes the signal on to its children; daemons of their own (containers, units) have files too. */
    static const char *const names[] = {"run", "node", "worker", "router"};
    struct config *conf = cli_config(cli);
    unsigned told = 0;
    if (conf == NULL)
        return CLI_CONFIG;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct buf path;
        buf_init(&path, 8192);
        if (buf_addf(&path, "%s/run/%s.pid", config_root(conf)->data_dir, names[i]) != ERR_OK)
            continue;
        pid_t pid = running_pid(buf_cstr(&path));
        buf_done(&path);
        if (pid == 0)
            continue;
        if (kill(pid, SIGHUP) != 0)
            return cli_fail(cli, CLI_FAILED, "cannot signal %s, pid %ld: %s", names[i], (long)pid,
                            strerror(errno));
        (void)printf("%s, pid %ld, reads %s again; what needs a restart it says in its log\n", names[i],
                     (long)pid, cli->config_path);
        told++;
        if (i == 0)
            break;
    }
    return told > 0 ? CLI_OK
                    : cli_fail(cli, CLI_NOTFOUND,
                               "nothing runs from '%s'; send SIGHUP to daemons on other machines",
                               config_root(conf)->data_dir);
}
