#!/usr/bin/env bash
# clang-tidy over the product, with the compile commands of a build directory: check_tidy.sh BUILD_DIRECTORY
# About 1.2 s of processor time a file: a part of its own (tests/run tidy), not of the default run.
set -euo pipefail
build=$(realpath "$1")
cd "$(dirname "$0")/../.."
tidy=$(command -v clang-tidy-14 || command -v clang-tidy || true)
[ -n "$tidy" ] || { echo "skipped: clang-tidy is not installed"; exit 77; }
# A file a run: the analyzer of clang 14 takes every va_list but that of the first file for uninitialized.
git ls-files -z '*.c' | grep -zv '^tests/' |
    xargs -0 -r -P "$(nproc)" -n 1 "$tidy" -p "$build" --quiet --extra-arg=-Wno-unknown-warning-option 2>/dev/null
