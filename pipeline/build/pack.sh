#!/bin/bash
# Pack compiled state and cargo's downloads. Incremental state is left out: it is large, and only useful if
# few files change between builds.
#
# pack.sh ARCHIVE PATH...: paths from the root, without their first slash; missing ones are left out
set -euo pipefail
archive=$1
shift
cd /
present=()
for path; do
    [ ! -e "$path" ] || present+=("$path")
done
tar --exclude=incremental -cf - "${present[@]}" | zstd -q -3 -T0 -o "$archive"
