#!/bin/sh
# Print the files of an index that are not in a directory, one a line, quoted as git-ls-files(1) says.
#
# missing.sh INDEX DIRECTORY: INDEX is the directory with the files `index` and `sharedindex.*` of a git directory.
# The environment is that of command.py.
set -eu
index=$1
directory=$2

# Print the last bytes of the index, as many as the argument says, in hexadecimal digits.
last() {
    tail -c "$1" "$index/index" | od -An -v -tx1 | tr -d ' \n'
}

# Tell whether the index ends with its checksum of so many bytes by a program; zeros where git left it out.
ends_with() {
    checksum=$(last "$1")
    [ -z "$(printf %s "$checksum" | tr -d 0)" ] && return 0
    [ "$checksum" = "$(head -c "-$1" "$index/index" | "$2" | cut -d ' ' -f 1)" ]
}

# The index does not say which hash it is written with, and git reads nonsense with the wrong one.
if ends_with 32 sha256sum; then
    format=sha256
elif ends_with 20 sha1sum; then
    format=sha1
else
    echo 'the index is damaged: it does not end with its checksum' >&2
    exit 1
fi
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
git init --quiet --bare --object-format="$format" "$made/git"
cp "$index"/*index* "$made/git/"
git --git-dir="$made/git" --work-tree="$directory" ls-files --deleted >"$made/found"
sort -u "$made/found"
