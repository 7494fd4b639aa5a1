#!/bin/sh
# Installs the rust-multiarch command, and the dagger release it works with, into one directory:
#   sh install.sh [DIRECTORY]
# What is there already is kept. RUST_MULTIARCH_SOURCE is another place to install from, as pip takes it.
set -eu
version=0.1.0
dagger=0.21.8
directory=${1:-$HOME/.rust-multiarch/v$version}
source=${RUST_MULTIARCH_SOURCE:-git+https://github.com/rust-multiarch/rust-multiarch@v$version}

if ! "$directory/bin/rust-multiarch" --help > /dev/null 2>&1; then
  python3 -m venv --clear "$directory"
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "rust-multiarch[cli] @ $source"
fi
case $(PATH="$directory/bin:$PATH" dagger version 2> /dev/null) in
  "dagger v$dagger "*) ;;
  *)
    curl -fsSL -o "$directory/install-dagger.sh" https://dl.dagger.io/dagger/install.sh
    DAGGER_VERSION=$dagger BIN_DIR=$directory/bin sh "$directory/install-dagger.sh"
    ;;
esac
echo "rust-multiarch $version is in $directory/bin"
