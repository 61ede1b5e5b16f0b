/* cli/cmd_daemons.c — starting the daemons, and telling running ones to read their configuration again. */
#include "cli/commands.h"
#include "cli/config_review.h"
#include "cli/supervisor.h"
#include "cli/table.h"
#include "common/io/reload.h"
#include "common/log.h"
#include "node/node.h"
#include "router/router.h"
#include "worker/worker.h"

#include <errno.h>
#include <jansson.h>
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

/* --- reload -------------------------------------------------------------------------------------- */

enum { RELOAD_WAIT_MS = 10000, RELOAD_LOOK_MS = 20, PATH_BYTES_MAX = 8192 };

/* The pid in data_dir/run/NAME.pid; 0: there is none, or its process has gone. */
static pid_t running_pid(const char *data_dir, const char *name)
{
    struct buf path, text;
    struct span line, rest;
    uint64_t pid = 0;
    buf_init(&path, PATH_BYTES_MAX);
    buf_init(&text, RELOAD_TEXT_MAX + 1);
    if (buf_addf(&path, "%s/run/%s.pid", data_dir, name) == ERR_OK)
        reload_read(buf_cstr(&path), &text);
    (void)span_cut(buf_span(&text), '\n', &line, &rest);
    bool runs = span_to_u64(line, INT32_MAX, &pid) && pid > 1 && kill((pid_t)pid, 0) == 0;
    buf_done(&path);
    buf_done(&text);
    return runs ? (pid_t)pid : 0;
}

/* list: of -o json. */
static void tell_json(const char *name, struct span outcome, struct span text, json_t *list)
{
    struct span line;
    json_t *lines = json_array();
    while (text.len > 0) {
        (void)span_cut(text, '\n', &line, &text);
        if (line.len > 0)
            (void)json_array_append_new(lines, json_stringn(line.ptr, line.len));
    }
    (void)json_array_append_new(
        list, json_pack("{s:s, s:s%, s:o}", "daemon", name, "outcome", outcome.ptr, outcome.len,
                        span_eq(outcome, SPAN("applied")) ? "needs_restart" : "why", lines));
}

/* One line: what a daemon said it did. */
static int tell_outcome(const char *name, struct span text, json_t *list)
{
    struct span outcome, line;
    (void)span_cut(text, '\n', &outcome, &text);
    bool applied = span_eq(outcome, SPAN("applied"));
    if (list != NULL) {
        tell_json(name, outcome, text, list);
        return applied ? CLI_OK : CLI_CONFIG;
    }
    (void)printf("%s: " SPAN_FMT, name, SPAN_ARG(outcome));
    for (const char *sep = applied ? "; needs a restart: " : ": "; text.len > 0;) {
        (void)span_cut(text, '\n', &line, &text);
        if (line.len == 0)
            continue;
        (void)printf("%s" SPAN_FMT, sep, SPAN_ARG(line));
        sep = ", ";
    }
    (void)printf(applied ? "\n" : "; what runs stays, see its log\n");
    return applied ? CLI_OK : CLI_CONFIG;
}

/* It has not answered, and why; CLI_FAILED. */
static int tell_silence(const char *name, struct span outcome, const char *why, json_t *list)
{
    if (list != NULL)
        tell_json(name, outcome, span_cstr(why), list);
    else
        (void)printf("%s: " SPAN_FMT ": %s\n", name, SPAN_ARG(outcome), why);
    return CLI_FAILED;
}

/* *budget: how long to wait, less what was waited. */
static int wait_outcome(const char *name, const char *path, ms_t *budget, json_t *list)
{
    struct buf text;
    int code;
    buf_init(&text, RELOAD_TEXT_MAX + 1);
    for (reload_read(path, &text); text.len == 0 && *budget > 0; reload_read(path, &text)) {
        *budget -= RELOAD_LOOK_MS;
        (void)usleep(RELOAD_LOOK_MS * 1000);
    }
    if (text.len > 0)
        code = tell_outcome(name, buf_span(&text), list);
    else
        code = tell_silence(name, SPAN("no answer"), "it says in its log what it applied", list);
    buf_done(&text);
    return code;
}

/* What a daemon finds in certificates it can only log: it keeps the old ones, and applies the rest. */
static bool certificates_fit(const struct cli *cli)
{
    struct buf problems;
    buf_init(&problems, RELOAD_TEXT_MAX);
    config_check_certificates(config_root(cli->conf), cli->config_path, &problems);
    bool fit = problems.len == 0;
    (void)fputs(buf_cstr(&problems), stderr);
    buf_done(&problems);
    return fit;
}

int cmd_reload(struct cli *cli)
{
    /* `run` passes the signal on to them. Not everybody has a router. */
    static const char *const names[] = {"node", "worker", "router"};
    enum { NEEDED = 2 };
    struct config *conf = cli_config(cli);
    struct buf paths[ARRAY_LEN(names)];
    ms_t budget = RELOAD_WAIT_MS;
    int code = CLI_OK;
    json_t *list = NULL;
    if (conf == NULL || !certificates_fit(cli))
        return CLI_CONFIG;
    const char *dir = config_root(conf)->data_dir;
    pid_t pid = running_pid(dir, "run");
    if (pid == 0)
        return cli_fail(cli, CLI_NOTFOUND,
                        "nothing runs from '%s'; send SIGHUP to daemons that `bridgehead run` did not start",
                        dir);
    if (cli->output == CLI_JSON)
        list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf_init(&paths[i], PATH_BYTES_MAX);
        if (reload_path(dir, names[i], &paths[i]) == ERR_OK)
            (void)unlink(buf_cstr(&paths[i])); /* the next one is the answer */
    }
    bool signalled = kill(pid, SIGHUP) == 0;
    if (!signalled)
        code = cli_fail(cli, CLI_FAILED, "cannot signal pid %ld: %s", (long)pid, strerror(errno));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int outcome = CLI_OK;
        if (!signalled)
            outcome = CLI_FAILED;
        else if (running_pid(dir, names[i]) != 0)
            outcome = wait_outcome(names[i], buf_cstr(&paths[i]), &budget, list);
        else if (i < NEEDED)
            outcome = tell_silence(names[i], SPAN("not running"),
                                   "it reads the file when it starts again; its log says why it ended", list);
        code = outcome == CLI_OK ? code : outcome;
        buf_done(&paths[i]);
    }
    if (list != NULL && json_print(list) != CLI_OK)
        return CLI_FAILED;
    return code;
}
