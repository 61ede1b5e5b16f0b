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

/* --name of every option that takes part. */
static enum err add_options(struct buf *out, const struct cli_optdesc *opts)
{
    enum err e = ERR_OK;
    for (; e == ERR_OK && opts != NULL && opts->name != NULL; opts++)
        e = buf_addf(out, " --%s", opts->name);
    return e;
}

/* if [ second word ]: the words of its family. */
static enum err add_bash_families(struct buf *out)
{
    enum err e = buf_addf(out, "    [ \"$COMP_CWORD\" = 2 ] && case ${COMP_WORDS[1]} in\n");
    struct span last = SPAN(""), head, tail;
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        if (!span_cut(span_cstr(cli_verbs[i].name), ' ', &head, &tail) || span_eq(head, last))
            continue;
        last = head;
        e = buf_addf(out, "    " SPAN_FMT ") COMPREPLY=($(compgen -W '", SPAN_ARG(head));
        if (e == ERR_OK)
            e = add_seconds(out, head);
        if (e == ERR_OK)
            e = buf_addf(out, "' -- \"$cur\")); return ;;\n");
    }
    return e == ERR_OK ? buf_addf(out, "    esac\n") : e;
}

static enum err add_bash_options(struct buf *out)
{
    enum err e = buf_addf(out, "    case $cur in -*) ;; *) return ;; esac\n"
                               "    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]} \" in\n");
    for (size_t i = 0; e == ERR_OK && i < cli_verb_count; i++) {
        if (cli_verbs[i].opts == NULL)
            continue;
        e = buf_addf(out, "    '%s '*) opts+='", cli_verbs[i].name);
        if (e == ERR_OK)
            e = add_options(out, cli_verbs[i].opts);
        if (e == ERR_OK)
            e = buf_addf(out, "' ;;\n");
    }
    return e == ERR_OK ? buf_addf(out, "    esac\n    COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\"))\n}\n")
                       : e;
}

static enum err add_bash(struct buf *out)
{
    enum err e =
        buf_addf(out, "_bridgehead() {\n"
                      "    local cur=${COMP_WORDS[COMP_CWORD]} opts='--config --output --help'\n"
                      "    COMPREPLY=()\n"
                      "    case ${COMP_WORDS[COMP_CWORD-1]} in\n"
                      "    -o|--output) COMPREPLY=($(compgen -W 'table json' -- \"$cur\")); return ;;\n"
                      "    esac\n"
                      "    [ \"$COMP_CWORD\" = 1 ] && COMPREPLY=($(compgen -W '");
    if (e == ERR_OK)
        e = add_words(out, " ");
    if (e == ERR_OK)
        e = buf_addf(out, "' -- \"$cur\")) && return\n");
    if (e == ERR_OK)
        e = add_bash_families(out);
    if (e == ERR_OK)
        e = add_bash_options(out);
    return e == ERR_OK ? buf_addf(out, "complete -o default -F _bridgehead bridgehead\n") : e;
}

static enum err add_zsh(struct buf *out)
{
    enum err e = buf_addf(out, "#compdef bridgehead\nautoload -U bashcompinit && bashcompinit\n");
    return e == ERR_OK ? add_bash(out) : e;
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
        e = buf_addf(out, "complete -c bridgehead -n '__fish_seen_subcommand_from " SPAN_FMT "' -f -a '",
                     SPAN_ARG(head));
        if (e == ERR_OK)
            e = add_seconds(out, head);
        if (e == ERR_OK)
            e = buf_addf(out, "'\n");
    }
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
