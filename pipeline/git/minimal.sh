#!/bin/sh
# Make a git directory with one commit: its history without files, its tags and its list of files. No
# remotes, configuration or credentials, no hooks, no other branches. The same commit gives the same bytes.
#
# minimal.sh OUTPUT <PATHS: in a checkout; OUTPUT must not exist. PATHS, each ended by a zero byte, are
# tracked files that are not in the source, and must not count as deleted. The environment is that of
# command.py.
set -eu
output=$1
mkdir -p "$output/objects/pack" "$output/objects/info" "$output/refs/heads" "$output/refs/tags"
output=$(cd "$output" && pwd)
revision=$(git rev-parse --verify HEAD)
tags=$(git for-each-ref --merged=HEAD --format='%(objectname) %(refname) %(*objectname)' refs/tags)
format=$(git rev-parse --show-object-format)

{
    printf '[core]\n\tbare = false\n\tlogallrefupdates = false\n'
    if [ "$format" = sha1 ]; then
        printf '\trepositoryformatversion = 0\n'
    else
        printf '\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = %s\n' "$format"
    fi
} >"$output/config"

if branch=$(git symbolic-ref --quiet HEAD); then
    mkdir -p "$(dirname "$output/$branch")"
    printf '%s\n' "$revision" >"$output/$branch"
    printf 'ref: %s\n' "$branch" >"$output/HEAD"
else
    printf '%s\n' "$revision" >"$output/HEAD"
fi
printf '# pack-refs with: peeled fully-peeled sorted \n' >"$output/packed-refs"
printf '%s\n' "$tags" | while read -r object name peeled; do
    [ -z "$object" ] || printf '%s %s\n' "$object" "$name"
    [ -z "$peeled" ] || printf '^%s\n' "$peeled"
done >>"$output/packed-refs"

shallow=$(git rev-parse --git-path shallow)
[ ! -e "$shallow" ] || cat "$shallow" >"$output/shallow"

{
    git rev-list HEAD
    printf '%s\n' "$tags" | sed -n 's/^\([^ ]*\) .*/\1/p'
    # `git show` compares with the parents.
    for commit in HEAD $(git rev-parse 'HEAD^@'); do
        git rev-parse "$commit^{tree}"
        git ls-tree -r -t "$commit" | sed -n 's/^040000 tree \([^	]*\)	.*/\1/p'
    done
} | sort -u | git pack-objects --quiet --threads=1 --window=0 --no-reuse-delta --no-reuse-object \
    "$output/objects/pack/pack" >/dev/null

GIT_INDEX_FILE=$output/index
export GIT_INDEX_FILE
git read-tree HEAD
git update-index -z --skip-worktree --stdin
