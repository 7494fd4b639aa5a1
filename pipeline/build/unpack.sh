#!/bin/bash
# Unpack parts of an archive of compiled state into a folder without them; the archive may lack any part.
#
# unpack.sh ARCHIVE FOLDER PREFIX PART...
#   PREFIX  the path in the archive that has the parts
#   PART    a path below it, and below the folder
set -euo pipefail
archive=$1 folder=$2 prefix=$3
shift 3
for part; do
    [ ! -e "$folder/$part" ] || exit 0
done
# Complete parts only: they are moved to their places at the end.
mkdir -p "$folder"
tmp=$(mktemp -d "$folder/.unpack-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
if ! LC_ALL=C tar -C "$tmp" --zstd --no-same-owner -xf "$archive" "${@/#/$prefix/}" 2>"$tmp/errors"; then
    if grep -v -e '^tar: [^ ]*: Not found in archive$' \
        -e '^tar: Exiting with failure status due to previous errors$' "$tmp/errors" >&2; then
        exit 2
    fi
fi
for part; do
    if [ -e "$tmp/$prefix/$part" ]; then
        mkdir -p "$(dirname "$folder/$part")"
        mv "$tmp/$prefix/$part" "$folder/$part"
    fi
done
