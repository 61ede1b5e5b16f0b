#!/usr/bin/env bash
# Every C file as clang-format 14 leaves it (other versions disagree in details).
set -euo pipefail
cd "$(dirname "$0")/../.."
format=$(command -v clang-format-14 || command -v clang-format || true)
[ -n "$format" ] || { echo "skipped: clang-format is not installed"; exit 77; }
case $("$format" --version) in
*"version 14."*) ;;
*) echo "skipped: the style is that of clang-format 14; this is $("$format" --version)"; exit 77 ;;
esac
git rev-parse --git-dir >/dev/null 2>&1 || { echo "skipped: not a git checkout"; exit 77; }
git ls-files -z '*.c' '*.h' | xargs -0 -r "$format" --dry-run -Werror
