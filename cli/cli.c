#include "cli/cli.h"

#include "common/nearest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* Options that every command takes; docs and completion list them once. */
const struct cli_optdesc cli_common_opts[] = {
    {"config", 'c', "FILE", "configuration file"},
    {"output", 'o', "table|json", "how to print: for people, or for programs"},
    {"help", 'h', NULL, "what the command does"},
    {NULL, 0, NULL, NULL},
};

int cli_fail(const struct cli *cli, enum cli_exit code, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *name = cli->verb != NULL ? cli->verb->name : "";
    (void)fprintf(stderr, "bridgehead%s%s: %s\n", name[0] != '\0' ? " " : "", name, text);
    return (int)code;
}

int cli_print(const struct buf *out)
{
    if (fwrite(buf_cstr(out), 1, out->len, stdout) == out->len && fflush(stdout) == 0)
        return CLI_OK;
    return errno == EPIPE ? CLI_OK : CLI_FAILED;
}

/* --- options -------------------------------------------------------------------------------------------- */

static const struct cli_optdesc *opt_find(const struct cli_optdesc *list, struct span name, char letter,
                                          size_t *ret_at)
{
    for (size_t i = 0; list != NULL && list[i].name != NULL; i++) {
        if ((letter != 0 && list[i].letter == letter) ||
            (letter == 0 && span_eq(span_cstr(list[i].name), name))) {
            *ret_at = i;
            return &list[i];
        }
    }
    return NULL;
}

/* One of the words that d offers. */
static int take_output(struct cli *cli, const struct cli_optdesc *d, const char *value)
{
    static const char *const words[] = {
        [CLI_TABLE] = "table", [CLI_JSON] = "json", [CLI_DOT] = "dot", [CLI_SVG] = "svg"};
    struct span word, rest = span_cstr(d->value);
    while (rest.len > 0) {
        (void)span_cut(rest, '|', &word, &rest);
        for (size_t i = 0; i < ARRAY_LEN(words) && span_eq(word, span_cstr(value)); i++) {
            if (!span_eq(word, span_cstr(words[i])))
                continue;
            cli->output = (enum cli_output)i;
            return CLI_OK;
        }
    }
    return cli_fail(cli, CLI_USAGE, "-o takes %s, not '%s'", d->value, value);
}

static bool is_output(const struct cli_optdesc *d)
{
    return strcmp(d->name, "output") == 0;
}

static int take_common(struct cli *cli, const struct cli_optdesc *d, const char *value, bool *ret_help)
{
    if (is_output(d))
        return take_output(cli, d, value);
    if (d->value == NULL)
        *ret_help = true;
    else
        cli->config_path = value;
    return CLI_OK;
}

struct cursor {
    int argc, at;
    char **argv;
    bool help, only_args; /* only_args: "--" has been seen */
};

static int unknown_option(const struct cli *cli, const char *arg)
{
    const char *names[CLI_OPTS_MAX + 4];
    size_t n = 0;
    for (size_t i = 0; cli_common_opts[i].name != NULL; i++)
        names[n++] = cli_common_opts[i].name;
    for (size_t i = 0; cli->verb != NULL && cli->verb->opts != NULL && cli->verb->opts[i].name != NULL; i++)
        names[n++] = cli->verb->opts[i].name;
    const char *near =
        nearest_of(span_from(span_cstr(arg), span_has_prefix(span_cstr(arg), SPAN("--")) ? 2 : 1), names, n);
    return near != NULL ? cli_fail(cli, CLI_USAGE, "unknown option '%s'; did you mean --%s?", arg, near)
                        : cli_fail(cli, CLI_USAGE, "unknown option '%s'; try --help", arg);
}

/* One option at the cursor: --name, --name=value, --name value, -x, -x value, -xvalue. */
static int take_option(struct cli *cli, struct cursor *cur)
{
    const char *arg = cur->argv[cur->at++];
    bool is_long = arg[1] == '-';
    struct span name = SPAN(""), inline_value = SPAN("");
    bool has_inline = false;
    if (is_long)
        has_inline = span_cut(span_from(span_cstr(arg), 2), '=', &name, &inline_value);
    char letter = is_long ? '\0' : arg[1];
    size_t at = 0;
    const struct cli_optdesc *own = opt_find(cli->verb != NULL ? cli->verb->opts : NULL, name, letter, &at);
    const struct cli_optdesc *d = own != NULL ? own : opt_find(cli_common_opts, name, letter, &at);
    if (d == NULL)
        return unknown_option(cli, arg);
    const char *value = "";
    if (d->value == NULL) {
        if (has_inline || (!is_long && arg[2] != '\0'))
            return cli_fail(cli, CLI_USAGE, "--%s takes no value", d->name);
    } else if (has_inline) {
        value = inline_value.ptr; /* the rest of an argument: NUL-terminated */
    } else if (!is_long && arg[2] != '\0') {
        value = arg + 2;
    } else if (cur->at < cur->argc) {
        value = cur->argv[cur->at++];
    } else {
        return cli_fail(cli, CLI_USAGE, "--%s needs a value: %s", d->name, d->value);
    }
    if (own == NULL)
        return take_common(cli, d, value, &cur->help);
    cli->opts[at] = value;
    return is_output(d) ? take_output(cli, d, value) : CLI_OK;
}

static bool is_option(const struct cursor *cur)
{
    const char *arg = cur->argv[cur->at];
    return !cur->only_args && arg[0] == '-' && arg[1] != '\0';
}

const char *cli_opt(const struct cli *cli, const char *name)
{
    size_t at;
    return opt_find(cli->verb->opts, span_cstr(name), 0, &at) == NULL ? NULL : cli->opts[at];
}

/* --- verbs ---------------------------------------------------------------------------------------------- */

static const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < cli_verb_count; i++)
        if (span_eq(span_cstr(cli_verbs[i].name), span_cstr(name)))
            return &cli_verbs[i];
    return NULL;
}

static bool is_family(const char *word) /* "queue" of "queue list" */
{
    struct span head, tail;
    for (size_t i = 0; i < cli_verb_count; i++)
        if (span_cut(span_cstr(cli_verbs[i].name), ' ', &head, &tail) && span_eq(head, span_cstr(word)))
            return true;
    return false;
}

int cli_unknown_verb(const struct cli *cli, const char *name)
{
    char families[256][16]; /* "quue" of "quue list" is nearest to no command but to the family */
    const char *names[2 * ARRAY_LEN(families)];
    size_t n = 0;
    for (size_t i = 0; i < cli_verb_count && i < ARRAY_LEN(families); i++) {
        names[n++] = cli_verbs[i].name;
        size_t head = strcspn(cli_verbs[i].name, " ");
        (void)snprintf(families[i], sizeof families[i], "%.*s", (int)head, cli_verbs[i].name);
        if (strchr(name, ' ') == NULL)
            names[n++] = families[i];
    }
    const char *near = nearest_of(span_cstr(name), names, n);
    return near != NULL
               ? cli_fail(cli, CLI_USAGE, "unknown command '%s'; did you mean '%s'?", name, near)
               : cli_fail(cli, CLI_USAGE, "unknown command '%s'; `bridgehead help` lists them", name);
}

static int print_help(const struct verb *verb)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    int code = cli_help(verb, &out) == ERR_OK ? cli_print(&out) : CLI_FAILED;
    buf_done(&out);
    return code;
}

/* "queue" alone: what may follow. */
static int family_alone(const struct cli *cli, const char *family)
{
    char list[256] = "";
    size_t n = 0;
    struct span head, tail;
    for (size_t i = 0; i < cli_verb_count && n < sizeof list; i++)
        if (span_cut(span_cstr(cli_verbs[i].name), ' ', &head, &tail) && span_eq(head, span_cstr(family)))
            n +=
                (size_t)snprintf(list + n, sizeof list - n, "%s" SPAN_FMT, n > 0 ? ", " : "", SPAN_ARG(tail));
    return cli_fail(cli, CLI_USAGE, "'%s' needs a second word: %s; `bridgehead help %s` tells more", family,
                    list, family);
}

/* --help behind a family, as behind a command. */
static bool wants_help(const struct cursor *cur)
{
    return cur->at < cur->argc && is_option(cur) &&
           (strcmp(cur->argv[cur->at], "--help") == 0 || strcmp(cur->argv[cur->at], "-h") == 0);
}

/* The verb: one word, or two of a family. */
static int take_verb(struct cli *cli, struct cursor *cur)
{
    char name[64];
    const char *first = cur->argv[cur->at++];
    (void)snprintf(name, sizeof name, "%s", first);
    if (is_family(first) && wants_help(cur)) {
        cli->verb = verb_find("help");
        cli->args[cli->nargs++] = first;
        cur->at++;
        return CLI_OK;
    }
    if (is_family(first)) {
        if (cur->at >= cur->argc || is_option(cur))
            return family_alone(cli, first);
        (void)snprintf(name, sizeof name, "%s %s", first, cur->argv[cur->at++]);
    }
    cli->verb = verb_find(name);
    return cli->verb != NULL ? CLI_OK : cli_unknown_verb(cli, name);
}

static int parse(struct cli *cli, struct cursor *cur)
{
    int code = CLI_OK;
    while (code == CLI_OK && cur->at < cur->argc) {
        if (!cur->only_args && strcmp(cur->argv[cur->at], "--") == 0) {
            cur->only_args = true;
            cur->at++;
        } else if (is_option(cur)) {
            code = take_option(cli, cur);
        } else if (cli->verb == NULL) {
            code = take_verb(cli, cur);
        } else if (cli->nargs == CLI_ARGS_MAX) {
            code = cli_fail(cli, CLI_USAGE, "too many arguments");
        } else {
            cli->args[cli->nargs++] = cur->argv[cur->at++];
        }
    }
    return code;
}

static const char *default_config(void)
{
    static const char *const places[] = {"bridgehead.yaml", "/etc/bridgehead/bridgehead.yaml"};
    const char *env = getenv("BRIDGEHEAD_CONFIG");
    if (env != NULL && env[0] != '\0')
        return env;
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (access(places[i], R_OK) == 0)
            return places[i];
    return places[0];
}

struct config *cli_config(struct cli *cli)
{
    struct buf problems;
    struct errctx ec = {""};
    if (cli->conf != NULL)
        return cli->conf;
    buf_init(&problems, 1 << 20);
    enum err e = config_load(cli->config_path, environ, &cli->conf, &problems, &ec);
    if (e == ERR_NOTFOUND)
        (void)cli_fail(cli, CLI_CONFIG,
                       "there is no '%s'; name the file with -c, or start from deploy/bridgehead.yaml",
                       cli->config_path);
    else if (e != ERR_OK && problems.len > 0)
        (void)fprintf(stderr, "%s%s", buf_cstr(&problems),
                      problems.ptr[problems.len - 1] == '\n' ? "" : "\n");
    else if (e != ERR_OK)
        (void)cli_fail(cli, CLI_CONFIG, "%s", ec.msg);
    buf_done(&problems);
    return e == ERR_OK ? cli->conf : NULL;
}

static int wrong_number(const struct cli *cli)
{
    const struct verb *v = cli->verb;
    const char *gap = v->args[0] != '\0' ? " " : "";
    if (cli->nargs < v->min_args)
        return cli_fail(cli, CLI_USAGE, "something is missing; usage: bridgehead %s%s%s", v->name, gap,
                        v->args);
    return cli_fail(cli, CLI_USAGE, "'%s' is too much; usage: bridgehead %s%s%s", cli->args[v->max_args],
                    v->name, gap, v->args);
}

/* An answer of which a part was lost is none, whatever the command thought; who closes a pipe has seen
 * enough. */
static int written(const struct cli *cli, int code)
{
    errno = 0;
    bool all = fflush(stdout) == 0 && ferror(stdout) == 0;
    if (all || errno == EPIPE || (code != CLI_OK && code != CLI_FAILED))
        return code;
    return cli_fail(cli, CLI_FAILED, "cannot write all of the output%s%s", errno != 0 ? ": " : "",
                    errno != 0 ? strerror(errno) : "");
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {.config_path = default_config()};
    struct cursor cur = {.argc = argc, .at = 1, .argv = argv};
    int code = parse(&cli, &cur);
    if (code != CLI_OK)
        return code;
    if (cur.help || cli.verb == NULL) {
        code = written(&cli, print_help(cli.verb));
        return cur.help ? code : CLI_USAGE;
    }
    if (cli.nargs < cli.verb->min_args || cli.nargs > cli.verb->max_args)
        return wrong_number(&cli);
    code = written(&cli, cli.verb->run(&cli));
    config_unref(cli.conf);
    return code;
}

/* --- generated texts ------------------------------------------------------------------------------------ */

/* but: options that take the place of some of these. */
static enum err add_opts(struct buf *out, const struct cli_optdesc *opts, const struct cli_optdesc *but)
{
    enum err e = ERR_OK;
    for (; e == ERR_OK && opts != NULL && opts->name != NULL; opts++) {
        char left[64];
        size_t at;
        if (opt_find(but, span_cstr(opts->name), 0, &at) != NULL)
            continue;
        char letter[8] = "    ";
        if (opts->letter != 0)
            (void)snprintf(letter, sizeof letter, "-%c, ", opts->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, opts->name, opts->value != NULL ? " " : "",
                       opts->value != NULL ? opts->value : "");
        e = buf_addf(out, "  %-30s %s\n", left, opts->help);
    }
    return e;
}

static enum err add_overview(struct buf *out)
{
    const char *group = "";
    enum err e = buf_addf(out, "usage: bridgehead [-c FILE] COMMAND [ARGUMENTS] [-o table|json]\n");
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        const struct verb *v = &cli_verbs[i];
        char left[96];
        if (strcmp(group, v->group) != 0)
            e = buf_addf(out, "\n%s\n", v->group);
        group = v->group;
        (void)snprintf(left, sizeof left, "%s%s%s", v->name, v->args[0] != '\0' ? " " : "", v->args);
        if (e == ERR_OK)
            e = buf_addf(out, strlen(left) > 28 ? "  %s\n%32s%s\n" : "  %-29s%s%s\n", left, "", v->help);
    }
    if (e == ERR_OK)
        e = buf_addf(out, "\n`bridgehead help COMMAND` tells more. The configuration is -c, "
                          "$BRIDGEHEAD_CONFIG, ./bridgehead.yaml or\n"
                          "/etc/bridgehead/bridgehead.yaml, in this order.\n");
    return e;
}

enum err cli_help(const struct verb *verb, struct buf *out)
{
    if (verb == NULL)
        return add_overview(out);
    enum err e = buf_addf(out, "usage: bridgehead %s%s%s%s\n\n%s\n", verb->name,
                          verb->opts != NULL ? " [OPTIONS]" : "", verb->args[0] != '\0' ? " " : "",
                          verb->args, verb->help);
    if (e == ERR_OK && verb->more != NULL)
        e = buf_addf(out, "\n%s\n", verb->more);
    if (e == ERR_OK)
        e = buf_addf(out, "\noptions:\n");
    if (e == ERR_OK)
        e = add_opts(out, verb->opts, NULL);
    return e == ERR_OK ? add_opts(out, cli_common_opts, verb->opts) : e;
}

static enum err docs_verb(struct buf *out, const struct verb *v)
{
    enum err e = buf_addf(out, "\n### bridgehead %s%s%s\n\n%s\n", v->name, v->args[0] != '\0' ? " " : "",
                          v->args, v->help);
    if (e == ERR_OK && v->more != NULL)
        e = buf_addf(out, "\n%s\n", v->more);
    if (e == ERR_OK && v->opts != NULL)
        e = buf_addf(out, "\n| option | what |\n|---|---|\n");
    for (const struct cli_optdesc *o = v->opts; e == ERR_OK && o != NULL && o->name != NULL; o++) {
        struct span word, rest = span_cstr(o->value);
        e = buf_addf(out, "| `--%s%s", o->name, o->value != NULL ? " " : "");
        while (e == ERR_OK && rest.len > 0) { /* a bar would end the cell */
            bool more = span_cut(rest, '|', &word, &rest);
            e = buf_addf(out, SPAN_FMT "%s", SPAN_ARG(word), more ? "\\|" : "");
        }
        if (e == ERR_OK)
            e = buf_addf(out, "` | %s |\n", o->help);
    }
    return e;
}

enum err cli_docs(struct buf *out)
{
    static const struct {
        int code;
        const char *text;
    } exits[] = {
#define X(name, code, text) {code, text},
        CLI_EXIT_MAP(X)
#undef X
    };
    enum err e = buf_addf(
        out,
        "# Command line\n\nGenerated by `bridgehead docs cli`; do not edit.\n\nEvery command takes `-c FILE` "
        "(configuration), `-o table|json` and `--help`; JSON of all but the daemons and what is a text of "
        "its own "
        "(`help`, `docs`, `completion`, `message export`, `keys certify`).\n\n| exit code | meaning "
        "|\n|---|---|\n");
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(exits); i++)
        e = buf_addf(out, "| %d | %s |\n", exits[i].code, exits[i].text);
    const char *group = "";
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        if (strcmp(group, cli_verbs[i].group) != 0)
            e = buf_addf(out, "\n## %s\n", cli_verbs[i].group);
        group = cli_verbs[i].group;
        if (e == ERR_OK)
            e = docs_verb(out, &cli_verbs[i]);
    }
    return e;
}
