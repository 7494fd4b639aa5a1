#!/bin/bash
# Print what preflight.py needs to know of a build: the compiler's version, each package's name and
# `rust-version`, then for each target its crates and the compiler's properties.
#
# preflight.sh NEXT PART METADATA [TRIPLE TREE]...
#   NEXT      the line before each target
#   PART      the line before each of the compiler's answers
#   METADATA  the `cargo metadata` command: the number of its words, then the words
#   TRIPLE    a target
#   TREE      its `cargo tree` command, in the same form
set -eu
next=$1 part=$2
shift 2
rustc --version
"${@:2:$1}" >/tmp/metadata.json
shift $(($1 + 1))
# The complete metadata would be megabytes.
grep -oE '"name":"[^"]*","version":"[^"]*","id":|"rust_version":"[^"]*"' /tmp/metadata.json || :
while [ $# -gt 0 ]; do
    triple=$1
    shift
    echo "$next"
    "${@:2:$1}"
    shift $(($1 + 1))
    for property in cfg target-cpus target-features; do
        echo "$part"
        rustc --print "$property" --target "$triple" 2>/dev/null || :
    done
done
