#!/usr/bin/env bash
# Every tracked shell script pleases the shell linter.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || { echo "skipped: shellcheck is not installed"; exit 77; }
git rev-parse --git-dir >/dev/null 2>&1 || { echo "skipped: not a git checkout"; exit 77; }
git ls-files -z | while IFS= read -r -d '' file; do
    [ ! -f "$file" ] || ! head -c 64 "$file" | head -1 | grep -aqE '^#!.*\b(ba)?sh\b' || printf '%s\0' "$file"
done | xargs -0 -r shellcheck
