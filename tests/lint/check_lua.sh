#!/usr/bin/env bash
# usage: check_lua.sh BUILD: the Lua sources, and the scripts that BUILD made of them, please luacheck.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v luacheck >/dev/null || { echo "skipped: lua-check is not installed"; exit 77; }
[ -d "$1/queue/lua" ] || { echo "skipped: $1 is not built"; exit 77; }
luacheck -q queue/lua "$1"/queue/lua/*.lua
