#!/usr/bin/env bash
# check_page.sh PAGE PROGRAM ARGUMENT: PAGE is what PROGRAM ARGUMENT prints.
set -euo pipefail
page=$1
shift
if [ -n "${DOCS_UPDATE:-}" ]; then
    "$@" >"$page"
    exit 0
fi
if ! diff -u "$page" <("$@"); then
    echo "$page is stale: run DOCS_UPDATE=1 ctest --preset asan -L lint -R docs" >&2
    exit 1
fi
