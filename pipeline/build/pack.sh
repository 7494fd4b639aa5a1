#!/bin/bash
# Pack compiled state and cargo's downloads. Incremental state is left out: it is large, and only of use where
# one file is changed at a time.
#
# pack.sh ARCHIVE PATH...: paths from the top, without their first slash; what is not there is left out
set -euo pipefail
archive=$1
shift
cd /
present=()
for path; do
    [ ! -e "$path" ] || present+=("$path")
done
tar --exclude=incremental -cf - "${present[@]}" | zstd -q -3 -T0 -o "$archive"
