/* cli/cli.h — what every command stands on: the verb table, options, exit codes, output.
 *
 * A command is a row of cli/verbs.c. From the rows come dispatch, help, docs/cli.md and the shell
 * completions. A command parses nothing: its options are declared in its row and read with cli_opt(). */
#pragma once
#include "common/buf.h"
#include "common/config/config.h"

/* clang-format off */
#define CLI_EXIT_MAP(X) \
    X(OK,       0, "done") \
    X(FAILED,   1, "it did not work; the message says why") \
    X(USAGE,    2, "the command line is wrong") \
    X(CONFIG,   3, "the configuration is wrong") \
    X(REDIS,    4, "Redis cannot be reached, or refuses") \
    X(NOTFOUND, 5, "there is no such thing: a queue, a message, a file, or a daemon that would do it") \
    X(START,    6, "a daemon cannot start here: its address is taken, a file is missing; its log says why")
/* clang-format on */
enum cli_exit {
#define X(name, code, text) CLI_##name = (code),
    CLI_EXIT_MAP(X)
#undef X
};
enum cli_output { CLI_TABLE, CLI_JSON, CLI_DOT, CLI_SVG }; /* drawings: only where the row has CLI_DRAWN */
enum { CLI_OPTS_MAX = 16, CLI_ARGS_MAX = 256 };

struct cli_optdesc {
    const char *name;  /* "sender" for --sender; NULL ends a list */
    char letter;       /* or 0 */
    const char *value; /* "ADDRESS"; NULL: a switch */
    const char *help;
};
struct cli {
    const struct verb *verb;
    const char *config_path;
    enum cli_output output;
    const char *args[CLI_ARGS_MAX]; /* what is no option, without the verb */
    size_t nargs;
    const char *opts[CLI_OPTS_MAX]; /* values by position in verb->opts; "" for a switch that is on */
    struct config *conf;
};
struct verb {
    const char *name;  /* "run", "queue list" */
    const char *group; /* heading in the help */
    const char *args;  /* "DOMAIN [CLASS]"; "" : none */
    unsigned min_args, max_args;
    const char *help;               /* one line */
    const char *more;               /* further lines, or NULL */
    const struct cli_optdesc *opts; /* or NULL */
    int (*run)(struct cli *cli);
};
/* For the options of a command that can also draw; its -o takes the place of the common one. */
#define CLI_DRAWN                                                                                            \
    {                                                                                                        \
        "output", 'o', "table|json|dot|svg", "table, JSON, or a drawing: Graphviz DOT, SVG"                  \
    }
extern const struct verb cli_verbs[];
extern const size_t cli_verb_count;
extern const struct cli_optdesc cli_common_opts[]; /* of every command */

int cli_main(int argc, char **argv);

/* The value of an option of this verb, "" for a switch that is on, NULL: not given. */
const char *cli_opt(const struct cli *cli, const char *name);
/* Loads the configuration once; on failure says what is wrong and returns NULL: exit with CLI_CONFIG. */
struct config *cli_config(struct cli *cli);
/* Writes to standard error "bridgehead VERB: ..."; returns code. */
int cli_fail(const struct cli *cli, enum cli_exit code, const char *fmt, ...) PRINTF(3, 4);
/* There is no such command: says which one is nearest; CLI_USAGE. */
int cli_unknown_verb(const struct cli *cli, const char *name);
/* Writes a buffer to standard output; CLI_OK, or CLI_FAILED when that fails (closed pipe: CLI_OK). */
int cli_print(const struct buf *out);

/* Generated texts. */
enum err cli_help(const struct verb *verb, struct buf *out) MUST_USE; /* NULL: the overview */
enum err cli_docs(struct buf *out) MUST_USE;                          /* docs/cli.md */
enum err cli_completion(struct span shell, struct buf *out) MUST_USE; /* bash, zsh, fish; ERR_NOTFOUND */
