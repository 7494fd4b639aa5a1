#!/bin/bash
# Copy the entries that a volume of compiled dependencies lacks from a directory into it.
#
# take_entries.sh FROM VOLUME
#
# Both have sccache's layout: a/b/abc…, by the key of an entry. All else in FROM is ignored, links too. Another build
# may read the volume meanwhile, so each entry appears in it complete.
set -euo pipefail
from=$1 volume=$2
made=$(mktemp -d "$volume/.taken.XXXXXX")
trap 'rm -rf "$made"' EXIT
cd "$from"
find . -regextype posix-extended -type f -regex '\./([0-9a-f])/([0-9a-f])/\1\2[0-9a-f]+' -printf '%P\n' |
    LC_ALL=C sort >"$made/there"
(cd "$volume" && find . -mindepth 3 -maxdepth 3 -type f -printf '%P\n') | LC_ALL=C sort >"$made/has"
mkdir "$made/entries"
LC_ALL=C comm -23 "$made/there" "$made/has" | tr '\n' '\0' |
    xargs -0r cp --parents --target-directory "$made/entries" --
# A link appears at once. An entry that another build made meanwhile is kept.
cp --recursive --link --no-clobber "$made/entries/." "$volume" || :
