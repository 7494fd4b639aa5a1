#!/bin/bash
# Pack compiled state and the public archives of crates, without sources. Incremental state is left out: it is
# large, and only useful if few files change between builds.
#
# pack.sh ARCHIVE HOME BUILD
#   HOME   cargo's home
#   BUILD  the volume of compiled state
#
# The environment variables in SECRETS, names with spaces between, must not be in the archive: cargo records
# the variables that code and build scripts declare.
set -euo pipefail
archive=$1 home=$2 build=$3
shopt -s nullglob
paths=()
for path in "$build/target" "$build/state" "$home"/registry/cache/index.crates.io-*; do
    [ ! -e "$path" ] || paths+=("$path")
done
for name in ${SECRETS:-}; do
    if grep -q . <<<"${!name}" &&
        grep -rqF --exclude-dir=incremental -e "$(grep . <<<"${!name}")" -- "${paths[@]}"; then
        echo "error: the value of the build secret $name is in the compiled state" >&2
        exit 3
    fi
done
[ ${#paths[@]} -gt 0 ] || paths=(--files-from=/dev/null)
tar --exclude=incremental -C / -cf - "${paths[@]#/}" | zstd -q -3 -T0 -o "$archive"
