#!/bin/bash
# Fetch the dependencies of a project into an empty cargo home, by a volume of downloads that only this
# program reads and writes.
#
# fetch.sh DOWNLOADS SOURCE LOCK CONFIGURATION ARCHIVE COMMAND...
#   DOWNLOADS      the volume; it has archives of crates, indexes and git databases, and no configuration
#   SOURCE         the sources; this directory is in them
#   LOCK           the path in them of the lock file: archives with other checksums are removed from the volume
#   CONFIGURATION  the files to use instead of cargo's configuration in the sources, with the same paths
#   ARCHIVE        compiled state whose downloads are used too; may be empty
#   COMMAND        the command that fetches, in this directory
#
# The home gets only what the command used, with sources unpacked from the archives. Time stamps of sources are
# always the same, since cargo compares them with those of compiled state.
set -euo pipefail
programs=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
downloads=$1 source=$2 lock=$2/$3 configuration=$4 archive=$5
shift 5
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Print the credentials of the fetch.
credentials() {
    env -0 | LC_ALL=C sort -z | { grep -zE '^(CARGO_REGISTRIES_[A-Z0-9_]+_TOKEN|GIT_TOKEN_[0-9]+)=' || :; }
    [ -z "${SSH_AUTH_SOCK:-}" ] || ssh-add -L 2>/dev/null || :
}

# Print name and checksum of the archives in the lock file. Before version 2, checksums have a table.
checksums() {
    awk -F'"' '
        /^name = / { name = $2 }
        /^version = / { version = $2 }
        /^checksum = / { print name "-" version ".crate\t" $2 }
        /^"checksum / { split($2, words, " "); print words[2] "-" words[3] ".crate\t" $4 }
    ' "$lock" | grep -E "^[A-Za-z0-9_.+-]+"$'\t'"[0-9a-f]{64}\$" | LC_ALL=C sort -u
}

# check FOLDER: remove the archives with a name in the lock file and another checksum.
check() {
    find "$1" -mindepth 2 -maxdepth 2 -type f -name '*.crate' -printf '%f\t%p\n' | LC_ALL=C sort |
        LC_ALL=C join -t $'\t' -o 2.2 <(cut -f1 "$tmp/checksums" | uniq) - | tr '\n' '\0' |
        xargs -0r sha256sum -- | awk -v checksums="$tmp/checksums" '
            BEGIN { FS = "\t"; while ((getline <checksums) > 0) known[$1, $2] }
            {
                path = substr($0, 67)
                name = path
                sub(/.*\//, "", name)
                if (!((name, substr($0, 1, 64)) in known)) print path
            }' | tr '\n' '\0' | xargs -0r rm -f --
}

# Add the downloads of the archive that the volume lacks and the lock file has.
import() {
    local folder name
    mkdir "$tmp/archive"
    bash "$programs/unpack.sh" "$archive" "$tmp/archive" cargo registry/cache
    for folder in "$tmp/archive"/registry/cache/index.crates.io-*/; do
        while IFS=$'\t' read -r name _; do
            if [ -f "$folder$name" ] && [ ! -L "$folder$name" ]; then
                echo "$name"
            fi
        done <"$tmp/checksums" >"$tmp/names"
        mkdir -p "$tmp/import/$(basename "$folder")"
        (cd "$folder" && xargs -r mv -t "$tmp/import/$(basename "$folder")" -- <"$tmp/names")
    done
    if [ -d "$tmp/import" ]; then
        check "$tmp/import"
        cp -Rn "$tmp/import/." "$cache/registry/cache"
    fi
}

# Print the paths in an index of the crates on stdin, each with its version.
index_paths() {
    sed 's/-[0-9]*\..*//' | tr '[:upper:]' '[:lower:]' | awk '
        length($0) < 3 { print ".cache/" length($0) "/" $0; next }
        length($0) == 3 { print ".cache/3/" substr($0, 1, 1) "/" $0; next }
        { print ".cache/" substr($0, 1, 2) "/" substr($0, 3, 2) "/" $0 }' | LC_ALL=C sort -u
}

# copy FROM TO: copy the paths on stdin that exist. A `local-registry` has neither archives nor an index here.
copy() (
    while IFS= read -r path; do
        [ ! -e "$1/$path" ] || printf '%s\0' "$path"
    done >"$tmp/paths"
    [ -s "$tmp/paths" ] || exit 0
    mkdir -p "$2"
    cd "$1" && xargs -0r cp -R --parents -t "$2" -- <"$tmp/paths"
)

# Copy what the command used from the volume.
collect() {
    local folder name
    for folder in "$CARGO_HOME"/registry/src/*/; do
        name=$(basename "$folder")
        find "$folder" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' >"$tmp/crates"
        sed 's/$/.crate/' "$tmp/crates" | copy "$cache/registry/cache/$name" "$CARGO_HOME/registry/cache/$name"
        if [ -e "$cache/registry/index/$name/.git" ]; then
            echo "$name" | copy "$cache/registry/index" "$CARGO_HOME/registry/index"
        else
            {
                echo config.json
                index_paths <"$tmp/crates"
            } | copy "$cache/registry/index/$name" "$CARGO_HOME/registry/index/$name"
        fi
    done
    for folder in "$CARGO_HOME"/git/checkouts/*/; do
        basename "$folder" | copy "$cache/git/db" "$CARGO_HOME/git/db"
    done
}

# Replace cargo's configuration in this directory and those above it.
configure() {
    local top folder
    top=$(realpath "$source") folder=$(pwd -P)
    while [[ $folder/ == "$top"/* ]]; do
        [ ! -L "$folder/.cargo" ] || rm "$folder/.cargo"
        rm -rf "$folder/.cargo/config" "$folder/.cargo/config.toml"
        folder=$(dirname "$folder")
    done
    cp -R "$configuration/." "$source"
}

shopt -s nullglob
configure
checksums >"$tmp/checksums" || :
# Downloads are shared only with fetches that have the same credentials.
credentials >"$tmp/credentials"
cache=$downloads/public
[ ! -s "$tmp/credentials" ] || cache=$downloads/$(sha256sum <"$tmp/credentials" | cut -c1-64)
rm "$tmp/credentials"
parts=(registry/index registry/cache git/db)
mkdir -p "${parts[@]/#/$cache/}" "$CARGO_HOME/registry" "$CARGO_HOME/git"
exec 9>"$cache/lock"
flock 9
check "$cache/registry/cache"
[ -z "$archive" ] || import
for part in "${parts[@]}"; do
    ln -s "$cache/$part" "$CARGO_HOME/$part"
done
CARGO_CACHE_AUTO_CLEAN_FREQUENCY=never "$@" 9>&-
rm "${parts[@]/#/$CARGO_HOME/}"
collect
exec 9>&-
find "$CARGO_HOME" -mindepth 1 -maxdepth 1 ! -name registry ! -name git -exec rm -rf {} +
for part in registry/src git/checkouts; do
    [ ! -d "$CARGO_HOME/$part" ] || find "$CARGO_HOME/$part" \( -type d -o -path '*/git/checkouts/*' \) \
        -exec touch -h -d @1153704088 {} +
done
