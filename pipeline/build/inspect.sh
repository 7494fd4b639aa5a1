#!/bin/sh
# Print what a custom builder has, for custom_containers.py; this always succeeds.
#
# inspect.sh CERTIFICATES TRIPLE...
#   CERTIFICATES  the file of root certificates
#   TRIPLE        a triple to build for
certificates=$1
shift
for program in cargo rustc apt-get; do command -v $program >/dev/null || echo "missing $program"; done
echo "home ${CARGO_HOME:-${HOME:-/root}/.cargo}"
[ ! -s "$certificates" ] || echo certificates
rustc --version
# shellcheck source=/dev/null
(. /etc/os-release && echo "system $ID $VERSION_ID")
if command -v rustup >/dev/null; then
    # RUST_VERSION is the base image's version; `rustup default` may have changed it since.
    active=$(rustup show active-toolchain 2>/dev/null | head -n 1 | cut -d ' ' -f 1 || :)
    echo "toolchain ${RUSTUP_TOOLCHAIN:-${active:-$RUST_VERSION}}"
else
    for triple; do
        [ -d "$(rustc --print target-libdir --target "$triple")" ] || echo "without $triple"
    done
fi
true
