#!/bin/bash
# Write cargo's unit graphs to files, for unit_graph.py; run in the project.
#
# unit_graph.sh OUTPUT STABLE CHANNEL METADATA COMMAND...
#   OUTPUT    gets metadata.json, rustc.txt, Cargo.lock and units-<number>.json
#   STABLE    cargo's configurations without unstable options, by their paths; may not exist
#   CHANNEL   the variable of cargo's tests, which takes precedence over RUSTC_BOOTSTRAP
#   METADATA  the `cargo metadata` command: the number of its words, then the words
#   COMMAND   the same for each `cargo build --unit-graph`
set -eu
output=$1 stable=$2 channel=$3
shift 3
mkdir -p "$output"
# Separate from the build's target directory, where cargo caches information about the compiler.
export CARGO_TARGET_DIR=/tmp/crates
"${@:2:$1}" >"$output/metadata.json"
shift $(($1 + 1))
rustc --version >"$output/rustc.txt"
workspace=$(cargo locate-project --workspace --message-format plain)
cp "${workspace%.toml}.lock" "$output/Cargo.lock"
# If the build's cargo has no unstable options, it ignores their table.
if ! cargo -Z unstable-options locate-project >/dev/null 2>&1 && [ -d "$stable" ]; then
    cp -R "$stable/." /
fi
unset "$channel"
export RUSTC_BOOTSTRAP=1
number=0
while [ $# -gt 0 ]; do
    "${@:2:$1}" >"$output/units-$number.json"
    shift $(($1 + 1))
    number=$((number + 1))
done
