/* cli/completion.c — completion of commands and options in a shell, from the verb table. */
#include "cli/cli.h"

/* First words, each once. */
static enum err add_words(struct buf *out, const char *between)
{
    enum err e = ERR_OK;
    struct span last = SPAN(""), head, tail;
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        (void)span_cut(span_cstr(cli_verbs[i].name), ' ', &head, &tail);
        if (!span_eq(head, last))
            e = buf_addf(out, "%s" SPAN_FMT, last.len > 0 ? between : "", SPAN_ARG(head));
        last = head;
    }
    return e;
}

/* Second words of a family. */
static enum err add_seconds(struct buf *out, struct span family)
{
    enum err e = ERR_OK;
    struct span head, tail;
    bool first = true;
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        if (!span_cut(span_cstr(cli_verbs[i].name), ' ', &head, &tail) || !span_eq(head, family))
            continue;
        e = buf_addf(out, "%s" SPAN_FMT, first ? "" : " ", SPAN_ARG(tail));
        first = false;
    }
    return e;
}

/* The words that an option or an argument takes, when its row names them: "table|json"; NULL: none. */
static const char *choices(const char *value)
{
    bool several = false;
    for (const char *c = value; c != NULL && *c != '\0' && *c != ' '; c++) {
        if (*c == '|')
            several = true;
        else if ((*c < 'a' || *c > 'z') && *c != '-')
            return NULL;
    }
    return several ? value : NULL;
}

/* The first word of value, with blanks instead of bars. */
static enum err add_choices(struct buf *out, const char *value)
{
    enum err e = ERR_OK;
    for (const char *c = value; e == ERR_OK && *c != '\0' && *c != ' '; c++)
        e = buf_addc(out, *c == '|' ? ' ' : *c);
    return e;
}

/* --- bash ----------------------------------------------------------------------------------------------- */

/* --name of every option. */
static enum err add_options(struct buf *out, const struct cli_optdesc *opts)
{
    enum err e = ERR_OK;
    for (; e == ERR_OK && opts != NULL && opts->name != NULL; opts++)
        e = buf_addf(out, " --%s", opts->name);
    return e;
}

/* "--name|-n" of the options that take a value, as a pattern. */
static enum err add_valued(struct buf *out, const struct cli_optdesc *opts, const char *before)
{
    enum err e = ERR_OK;
    for (; e == ERR_OK && opts != NULL && opts->name != NULL; opts++) {
        if (opts->value == NULL)
            continue;
        e = buf_addf(out, "%s--%s", before, opts->name);
        if (e == ERR_OK && opts->letter != 0)
            e = buf_addf(out, "|-%c", opts->letter);
        before = "|";
    }
    return e;
}

static enum err add_all_valued(struct buf *out)
{
    enum err e = add_valued(out, cli_common_opts, "");
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++)
        e = add_valued(out, cli_verbs[i].opts, "|");
    return e;
}

/* What has been typed: head and tail of the command, and how many arguments. */
static enum err add_bash_walk(struct buf *out)
{
    enum err e = buf_addf(out, "_bridgehead() {\n"
                               "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                               "    local head= tail= verb= opts= words= args=0 i=1\n"
                               "    COMPREPLY=()\n"
                               "    if [ \"$cur\" = = ]; then cur=\n"
                               "    elif [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
                               "    while [ \"$i\" -lt \"$COMP_CWORD\" ]; do\n"
                               "        case $head:${COMP_WORDS[i]} in\n"
                               "        :help) ;;\n"
                               "        *:-*) case ${COMP_WORDS[i]} in ");
    if (e == ERR_OK)
        e = add_all_valued(out);
    return e == ERR_OK ? buf_addf(out, ") i=$((i+1)); "
                                       "[ \"${COMP_WORDS[i]}\" = = ] && i=$((i+1)) ;; esac ;;\n"
                                       "        :*) head=${COMP_WORDS[i]} ;;\n"
                                       "        *) args=$((args+1)); [ -z \"$tail\" ] && "
                                       "tail=${COMP_WORDS[i]} ;;\n"
                                       "        esac\n"
                                       "        i=$((i+1))\n"
                                       "    done\n"
                                       "    verb=$head\n")
                       : e;
}

/* Families: their second word is a part of the command. */
static enum err add_bash_families(struct buf *out)
{
    enum err e = buf_addf(out, "    case $head in\n");
    struct span last = SPAN(""), head, tail;
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        if (!span_cut(span_cstr(cli_verbs[i].name), ' ', &head, &tail) || span_eq(head, last))
            continue;
        last = head;
        e = buf_addf(out, "    " SPAN_FMT ") verb=\"$head $tail\" args=$((args-1)) words='", SPAN_ARG(head));
        if (e == ERR_OK)
            e = add_seconds(out, head);
        if (e == ERR_OK)
            e = buf_addf(out, "' ;;\n");
    }
    if (e == ERR_OK)
        e = buf_addf(out, "    '') words='");
    if (e == ERR_OK)
        e = add_words(out, " ");
    return e == ERR_OK ? buf_addf(out, "' ;;\n    esac\n    [ -n \"$tail\" ] && words=\n") : e;
}

/* Options of a command, and words of its argument. */
static enum err add_bash_verb(struct buf *out, const struct verb *v)
{
    enum err e = buf_addf(out, "    '%s') opts='", v->name);
    if (e == ERR_OK)
        e = add_options(out, v->opts);
    if (e == ERR_OK)
        e = buf_addf(out, "'");
    if (e == ERR_OK && choices(v->args) != NULL) {
        e = buf_addf(out, "; [ \"$args\" = 0 ] && words='");
        if (e == ERR_OK)
            e = add_choices(out, v->args);
        if (e == ERR_OK)
            e = buf_addf(out, "'");
    }
    return e == ERR_OK ? buf_addf(out, " ;;\n") : e;
}

/* The value of an option: one of its words; else whatever the shell offers by itself, files. */
static enum err add_bash_values(struct buf *out, const char *verb, const struct cli_optdesc *opts)
{
    enum err e = ERR_OK;
    for (; e == ERR_OK && opts != NULL && opts->name != NULL; opts++) {
        if (choices(opts->value) == NULL)
            continue;
        e = buf_addf(out, "    '%s:--%s'", verb, opts->name);
        if (e == ERR_OK && opts->letter != 0)
            e = buf_addf(out, "|'%s:-%c'", verb, opts->letter);
        if (e == ERR_OK)
            e = buf_addf(out, ") words='");
        if (e == ERR_OK)
            e = add_choices(out, opts->value);
        if (e == ERR_OK)
            e = buf_addf(out, "' ;;\n");
    }
    return e;
}

static enum err add_bash(struct buf *out)
{
    enum err e = add_bash_walk(out);
    if (e == ERR_OK)
        e = add_bash_families(out);
    if (e == ERR_OK)
        e = buf_addf(out, "    case $verb in\n");
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++)
        if (cli_verbs[i].opts != NULL || choices(cli_verbs[i].args) != NULL)
            e = add_bash_verb(out, &cli_verbs[i]);
    if (e == ERR_OK)
        e = buf_addf(out, "    esac\n    case $cur in -*) words=\"$opts");
    if (e == ERR_OK)
        e = add_options(out, cli_common_opts);
    if (e == ERR_OK)
        e = buf_addf(out, "\" ;; esac\n    case $verb:$prev in\n");
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++)
        e = add_bash_values(out, cli_verbs[i].name, cli_verbs[i].opts);
    if (e == ERR_OK) /* what a command has of its own comes first */
        e = buf_addf(out, "    *:-o|*:--output) words='table json' ;;\n    *) case $prev in ");
    if (e == ERR_OK)
        e = add_all_valued(out);
    return e == ERR_OK ? buf_addf(out, ") words= ;; esac ;;\n    esac\n"
                                       "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
                                       "complete -o default -F _bridgehead bridgehead\n")
                       : e;
}

static enum err add_zsh(struct buf *out)
{
    enum err e = buf_addf(out, "#compdef bridgehead\nautoload -U bashcompinit && bashcompinit\n");
    return e == ERR_OK ? add_bash(out) : e;
}

/* --- fish ----------------------------------------------------------------------------------------------- */

static enum err add_quoted(struct buf *out, const char *text)
{
    enum err e = buf_addc(out, '\'');
    for (; e == ERR_OK && *text != '\0'; text++)
        e = *text == '\'' || *text == '\\' ? buf_addf(out, "\\%c", *text) : buf_addc(out, *text);
    return e == ERR_OK ? buf_addc(out, '\'') : e;
}

static enum err add_fish_value(struct buf *out, const char *value)
{
    if (value == NULL)
        return ERR_OK;
    if (choices(value) == NULL)
        return buf_addf(out, " -r");
    enum err e = buf_addf(out, " -x -a '");
    if (e == ERR_OK)
        e = add_choices(out, value);
    return e == ERR_OK ? buf_addc(out, '\'') : e;
}

static enum err add_fish_options(struct buf *out, struct span head, struct span tail,
                                 const struct cli_optdesc *opts)
{
    enum err e = ERR_OK;
    for (; e == ERR_OK && opts != NULL && opts->name != NULL; opts++) {
        e = buf_addf(out, "complete -c bridgehead");
        if (e == ERR_OK && head.len > 0)
            e = buf_addf(out, " -n '__fish_seen_subcommand_from " SPAN_FMT, SPAN_ARG(head));
        if (e == ERR_OK && tail.len > 0)
            e = buf_addf(out, "; and __fish_seen_subcommand_from " SPAN_FMT, SPAN_ARG(tail));
        if (e == ERR_OK)
            e = buf_addf(out, "%s -l %s", head.len > 0 ? "'" : "", opts->name);
        if (e == ERR_OK && opts->letter != 0)
            e = buf_addf(out, " -s %c", opts->letter);
        if (e == ERR_OK)
            e = add_fish_value(out, opts->value);
        if (e == ERR_OK)
            e = buf_addf(out, " -d ");
        if (e == ERR_OK)
            e = add_quoted(out, opts->help);
        if (e == ERR_OK)
            e = buf_addc(out, '\n');
    }
    return e;
}

static enum err add_fish_verb(struct buf *out, const struct verb *v)
{
    struct span head, tail;
    (void)span_cut(span_cstr(v->name), ' ', &head, &tail);
    enum err e = add_fish_options(out, head, tail, v->opts);
    if (e != ERR_OK || choices(v->args) == NULL)
        return e;
    e = buf_addf(out, "complete -c bridgehead -n '__fish_seen_subcommand_from " SPAN_FMT, SPAN_ARG(head));
    if (e == ERR_OK && tail.len > 0)
        e = buf_addf(out, "; and __fish_seen_subcommand_from " SPAN_FMT, SPAN_ARG(tail));
    if (e == ERR_OK)
        e = buf_addf(out, "' -f -a '");
    if (e == ERR_OK)
        e = add_choices(out, v->args);
    return e == ERR_OK ? buf_addf(out, "'\n") : e;
}

static enum err add_fish(struct buf *out)
{
    enum err e = buf_addf(out, "complete -c bridgehead -n __fish_use_subcommand -f -a '");
    struct span last = SPAN(""), head, tail;
    if (e == ERR_OK)
        e = add_words(out, " ");
    if (e == ERR_OK)
        e = buf_addf(out, "'\n");
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        if (!span_cut(span_cstr(cli_verbs[i].name), ' ', &head, &tail) || span_eq(head, last))
            continue;
        last = head;
        e = buf_addf(out,
                     "complete -c bridgehead -n '__fish_seen_subcommand_from " SPAN_FMT
                     "; and not __fish_seen_subcommand_from ",
                     SPAN_ARG(head));
        if (e == ERR_OK)
            e = add_seconds(out, head);
        if (e == ERR_OK)
            e = buf_addf(out, "' -f -a '");
        if (e == ERR_OK)
            e = add_seconds(out, head);
        if (e == ERR_OK)
            e = buf_addf(out, "'\n");
    }
    if (e == ERR_OK)
        e = add_fish_options(out, SPAN(""), SPAN(""), cli_common_opts);
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++)
        e = add_fish_verb(out, &cli_verbs[i]);
    return e;
}

enum err cli_completion(struct span shell, struct buf *out)
{
    static const struct {
        struct span name;
        enum err (*add)(struct buf *out);
    } shells[] = {{SPAN_INIT("bash"), add_bash}, {SPAN_INIT("zsh"), add_zsh}, {SPAN_INIT("fish"), add_fish}};
    for (size_t i = 0; i < ARRAY_LEN(shells); i++)
        if (span_eq(shell, shells[i].name))
            return shells[i].add(out);
    return ERR_NOTFOUND;
}
