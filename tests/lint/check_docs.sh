#!/usr/bin/env bash
# The references that the program writes are those in docs/. `check_docs.sh BINARY --write` writes them.
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
exit $stale
