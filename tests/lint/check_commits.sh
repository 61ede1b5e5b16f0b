#!/usr/bin/env bash
# Subjects of commits: "area: imperative", at most 72 characters, no full stop; an empty line before the body.
#   check_commits.sh [RANGE]        default: everything since the first commit
set -euo pipefail
cd "$(dirname "$0")/../.."
git rev-parse --git-dir >/dev/null 2>&1 || { echo "skipped: not a git checkout"; exit 77; }
bad=0
# Longer than they should be, and others stand on them.
old=" 3dbdb1c 5524900 3d856e0 "
complain() { # COMMIT WHY
    printf '%s: %s\n' "$(git log -1 --format='%h %s' "$1")" "$2"
    bad=1
}
while read -r commit; do
    subject=$(git log -1 --format=%s "$commit")
    [ ${#subject} -le 72 ] || [[ $old == *" ${commit:0:7} "* ]] || complain "$commit" "${#subject} characters (at most 72)"
    [[ $subject =~ ^[a-z0-9_./,\ -]+:\ [^\ ] ]] || complain "$commit" 'should read "area: what it does"'
    [[ $subject != *. ]] || complain "$commit" "ends with a full stop"
    [[ ! $subject =~ ^(fixup|squash|WIP|wip) ]] || complain "$commit" "is not finished"
    [ -z "$(git log -1 --format=%B "$commit" | sed -n 2p)" ] || complain "$commit" "has no empty line after the subject"
done < <(git rev-list --no-merges "${1:-HEAD}")
exit $bad
