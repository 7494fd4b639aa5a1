#!/bin/bash
# Unpack cargo's downloads from an archive of compiled state, and run a command that adds missing ones.
#
# fetch.sh ARCHIVE COMMAND...
set -euo pipefail
programs=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
bash "$programs/unpack.sh" "$1" "$CARGO_HOME" cargo registry/index registry/cache git/db
shift
exec "$@"
