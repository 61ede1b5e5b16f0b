#!/usr/bin/env bash
# Subjects of commits: "area: imperative", at most 72 characters, no full stop; an empty line before the body.
#   check_commits.sh [RANGE]        default: everything since the first commit
#   check_commits.sh --message FILE one that is being written (tests/lint/hooks/commit-msg)
set -euo pipefail
faults() { # a message on standard input: what is wrong with it, a line each
    local subject second
    IFS= read -r subject || true
    IFS= read -r second || true
    [ ${#subject} -le 72 ] || echo "${#subject} characters (at most 72)"
    [[ $subject =~ ^[a-z0-9_./,\ -]+:\ [^\ ] ]] || echo 'should read "area: what it does"'
    [[ $subject != *. ]] || echo "ends with a full stop"
    [ -z "$second" ] || echo "has no empty line after the subject"
}
if [ "${1:-}" = --message ]; then
    [[ ! $(head -n 1 "$2") =~ ^(fixup|squash)! ]] || exit 0
    found=$(grep -v '^#' "$2" | faults)
    [ -z "$found" ] || { printf 'commit message: %s\n' "$found" >&2; exit 1; }
    exit 0
fi
cd "$(dirname "$0")/../.."
git rev-parse --git-dir >/dev/null 2>&1 || { echo "skipped: not a git checkout"; exit 77; }
bad=0
# Longer than they should be, and others stand on them.
old=" 3dbdb1c 5524900 3d856e0 "
while read -r commit; do
    found=$(git log -1 --format=%B "$commit" | faults)
    subject=$(git log -1 --format=%s "$commit")
    [[ ! $subject =~ ^(fixup|squash|WIP|wip) ]] || found+="${found:+, }is not finished"
    [[ $old != *" ${commit:0:7} "* ]] || found=$(sed '/characters (at most/d' <<<"$found")
    [ -z "$found" ] || { printf '%s %s: %s\n' "${commit:0:7}" "$subject" "$found"; bad=1; }
done < <(git rev-list --no-merges "${1:-HEAD}")
exit $bad
