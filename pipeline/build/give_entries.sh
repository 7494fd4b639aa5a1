#!/bin/bash
# Copy the entries that a directory lacks, or has with another content, from a volume of compiled dependencies.
#
# give_entries.sh USED VOLUME DIRECTORY OUTPUT LIMIT
#   USED    the paths of the entries that a build used or made
#   OUTPUT  gets `used`, the list, and `entries` with the lacking ones, at most LIMIT bytes
set -euo pipefail
used=$1 volume=$2 directory=$3 output=$4 limit=$5
mkdir -p "$output/entries"
cd "$volume"
while IFS= read -r name; do
    # An entry may be gone, and a build script can write anything here.
    if [ -f "$name" ] && [ ! -L "$name" ]; then
        echo "$name" >&3
        cmp -s "$name" "$directory/$name" || stat --format=$'%s\t%n' "$name"
    fi
done <"$used" 3>"$output/used" |
    awk -F '\t' -v left="$limit" '$1 <= left { left -= $1; print $2 }' | tr '\n' '\0' |
    xargs -0r cp --parents --target-directory "$output/entries" --
