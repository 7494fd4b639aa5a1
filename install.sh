#!/bin/sh
# Installs the rust-multiarch command, and the dagger release it works with, into one directory:
#   sh install.sh [DIRECTORY]
# The same version from the same place is kept where it works; any other is replaced. A directory with anything
# else in it is refused. RUST_MULTIARCH_INSTALL_FROM is another place to install from, as pip takes it.
set -eu
version=0.2.0
dagger=0.21.8
directory=${1:-$HOME/.rust-multiarch/v$version}
source=${RUST_MULTIARCH_INSTALL_FROM:-git+https://github.com/rust-multiarch/rust-multiarch@v$version}

marker=$directory/.rust-multiarch

empty() { [ -z "$(ls -A "$directory" 2> /dev/null)" ]; }
# What was installed before there was a marker is a virtual environment with the command in it.
ours() { [ -e "$marker" ] || { [ -e "$directory/pyvenv.cfg" ] && [ -e "$directory/bin/rust-multiarch" ]; }; }

wanted="$version from $source"
there() { [ "$(cat "$marker" 2> /dev/null)" = "$wanted" ] && "$directory/bin/rust-multiarch" --help > /dev/null 2>&1; }

if ! there; then
  if ! empty && ! ours; then
    echo "install.sh: $directory is not empty, and would be emptied: name another, or empty it yourself" >&2
    exit 1
  fi
  made=0
  python3 -m venv --clear "$directory" || made=$?
  # Of half an installation too, so that the next run may go on.
  mkdir -p "$directory"
  : > "$marker"
  [ "$made" = 0 ] || exit "$made"
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "rust-multiarch[cli] @ $source"
  echo "$wanted" > "$marker"
fi
case $(PATH="$directory/bin:$PATH" dagger version 2> /dev/null) in
  "dagger v$dagger "*) ;;
  *)
    curl -fsSL -o "$directory/install-dagger.sh" https://dl.dagger.io/dagger/install.sh
    DAGGER_VERSION=$dagger BIN_DIR=$directory/bin sh "$directory/install-dagger.sh"
    ;;
esac
echo "rust-multiarch $version is in $directory/bin"
