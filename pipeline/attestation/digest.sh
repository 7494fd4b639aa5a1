#!/bin/sh
# Print the digest of a file or a directory as `algorithm:hexadecimal`. The algorithm of a directory, dirHash,
# is defined in https://github.com/in-toto/attestation/blob/main/spec/v1/digest_set.md.
set -eu

path=$1
if [ -d "$path" ]; then
    cd "$path"
    found=$(find . -type f -print0 | cut -z -c3- | LC_ALL=C sort -z | xargs -0 -r sha256sum | sha256sum)
    printf 'dirHash:%s\n' "${found%% *}"
else
    found=$(sha256sum <"$path")
    printf 'sha256:%s\n' "${found%% *}"
fi
