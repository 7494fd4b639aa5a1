#!/bin/sh
# Print the facts of the checkout here: one `name value` per line. Paths are quoted as in git-status(1).
# The argument is the name of the only files whose patterns ignore files; by default, all of git's count.
# The environment must be that of pipeline/git/command.py; filters, which have any names, are overridden here.
set -eu

# Set a configuration value for every git process that follows.
override() {
    number=${GIT_CONFIG_COUNT:-0}
    export "GIT_CONFIG_KEY_$number=$1" "GIT_CONFIG_VALUE_$number=$2"
    GIT_CONFIG_COUNT=$((number + 1))
    export GIT_CONFIG_COUNT
}

# For filters in the repository's configuration, use the user's or the system's settings, if
# anything: git-lfs is installed there.
override_filters() {
    tab=$(printf '\t')
    names=$(git config --show-scope --name-only --get-regexp '^filter\.' |
        sed -n "s/^local$tab//p; s/^worktree$tab//p")
    while IFS= read -r name; do
        [ -n "$name" ] || continue
        case $name in
            *.required) value=false ;;
            *) value=$(git config --global --get "$name" || git config --system --get "$name" || :) ;;
        esac
        override "$name" "$value"
    done <<END
$names
END
}

# Check files that the index says not to check, with a copy of the index. In a sparse checkout, files that
# do not exist are left out on purpose.
look_at_all() {
    flagged=$(git ls-files -v | sed -n '/^[a-zS] /p' | head -n 1)
    [ -n "$flagged" ] || return 0
    copy=$(mktemp)
    cat "$(git rev-parse --git-path index)" >"$copy"
    export GIT_INDEX_FILE="$copy"
    git ls-files -z | git update-index -z --no-assume-unchanged --stdin
    [ "$(git config --type bool --get core.sparseCheckout || :)" = true ] ||
        git ls-files -z | git update-index -z --no-skip-worktree --stdin
}

# Print the changes of a checkout and its submodules; the argument is its path in the first one.
changes() {
    override_filters
    look_at_all
    printf 'in %s\n' "$1"
    found=$(git status --porcelain --no-renames --ignore-submodules=dirty --untracked-files=no)
    printf '%s\n' "$found" | sed 's/^/change /'
    new=$(git ls-files --others --directory --no-empty-directory "$ignoring")
    printf '%s\n' "$new" | sed '/./s/^/change ?? /'
    modules=$(git ls-files --stage | sed -n 's/^160000 [^ ]* [0-3].//p')
    while IFS= read -r module; do
        if [ -e "$module/.git" ]; then
            (unset GIT_INDEX_FILE && cd "$module" && changes "$1$module/")
        elif [ -n "$module" ] && [ -n "$(ls -A "$module" 2>/dev/null)" ]; then
            printf 'in %s\nchange  M %s\n' "$1" "$module"
        fi
    done <<END
$modules
END
}

ignoring=--exclude-standard
[ -z "${1:-}" ] || ignoring=--exclude-per-directory=$1
git rev-parse --git-dir >/dev/null
revision=$(git rev-parse --verify --quiet HEAD) || { echo 'no commit' >&2; exit 1; }
time=$(git log -1 --no-show-signature --format=%ct)
here=$(git for-each-ref --format='%(refname:strip=2)' --points-at=HEAD refs/tags)
tags=$(git for-each-ref --format='%(refname:strip=2)' refs/tags)
printf 'revision %s\ntime %s\n' "$revision" "$time"
printf 'branch %s\n' "$(git symbolic-ref --quiet --short HEAD || :)"
printf 'default %s\n' "$(git symbolic-ref --quiet refs/remotes/origin/HEAD || :)"
printf 'remote %s\n' "$(git config --get remote.origin.url || :)"
printf 'shallow %s\n' "$(git rev-parse --is-shallow-repository)"
printf '%s\n' "$here" | sed 's/^/here /'
printf '%s\n' "$tags" | sed 's/^/tag /'
copies=$(mktemp -d)
trap 'rm -rf "$copies"' EXIT
TMPDIR=$copies
export TMPDIR
changes ''
