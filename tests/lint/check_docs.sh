#!/usr/bin/env bash
# The references that the program writes are those in docs/. `check_docs.sh BINARY --write` writes them. And what messages
# and documents tell people to type is a command that there is.
set -euo pipefail
cd "$(dirname "$0")/../.."
binary=$1
stale=0
check() { # FILE COMMAND...
    local file=$1
    shift
    if [ "${mode:-}" = --write ]; then
        "$binary" "$@" >"$file"
    elif ! "$binary" "$@" | cmp -s - "$file"; then
        echo "$file is stale: bridgehead $* > $file"
        stale=1
    fi
}
mode=${2:-}
check docs/settings.md docs settings
check docs/settings.schema.json config schema
check docs/cli.md docs cli
check docs/metrics.md docs metrics
# Of two words the second may be an argument, where the command has one word; of one, it may be a family of commands.
grep -rnoE '`bridgehead [a-z]+( [a-z]+)?' --include='*.[ch]' --include='*.lua' --include='*.md' --include='*.yaml' \
    cli common deploy docs linkstate node queue router worker ./*.md |
    awk -v reference=docs/cli.md '
        BEGIN {
            while ((getline line < reference) > 0)
                if (split(line, w, " ") > 2 && w[1] == "###") {
                    known[w[3]] = 1
                    for (i = split(w[4], either, "|"); i > 0; i--)
                        known[w[3] " " either[i]] = 1
                    whole[w[3]] = w[4] !~ /^[a-z]/
                }
        }
        { n = split($0, w, " "); words = n > 2 ? w[2] " " w[3] : w[2] }
        !(words in known) && !whole[w[2]] { print $0 "`: there is no such command"; bad = 1 }
        END { exit bad }' || stale=1
exit $stale
