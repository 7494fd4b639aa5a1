#!/bin/sh
# Install the rust-multiarch command, and the dagger release it works with, into one directory:
#   sh install.sh [DIRECTORY]
# Everything that is run is verified first: Python packages by the hashes of requirements-cli.txt, that file and
# the archive of dagger by the digests below. An installation of the same version from the same place is kept,
# another is replaced. A directory with other files is an error. RUST_MULTIARCH_INSTALL_FROM is another source:
# git+https://…@COMMIT or file:///directory.
set -eu
version=0.2.0
dagger=0.21.8
requirements=0ea9513d89f6093703313e291ce4f4f985c30309eae9fd1455b720c41659cfe9
dagger_linux_amd64=53e226c7da8fb75171e58c35759d736d961ce8b3a12db0baa7b7107954fccc5a
dagger_linux_arm64=cd0df4885f2050082932b4abc5a6aad9a733f6aa4e7d8474740558517ffec4af

say() { echo "install.sh: $*"; }

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

# The directory has only what an earlier run made. Before there was a marker, it was a virtual environment.
ours() {
  [ -z "$(ls -A "$directory" 2> /dev/null)" ] || [ -e "$marker" ] ||
    { [ -e "$directory/pyvenv.cfg" ] && [ -e "$directory/bin/rust-multiarch" ]; }
}

installed() {
  [ "$(cat "$marker" 2> /dev/null)" = "$wanted" ] && "$directory/bin/rust-multiarch" --help > /dev/null 2>&1
}

# FILE SHA256: end with an error if the file has another digest.
verify() {
  if command -v sha256sum > /dev/null; then found=$(sha256sum < "$1"); else found=$(shasum -a 256 < "$1"); fi
  [ "${found%% *}" = "$2" ] || fail "$1 has the digest ${found%% *} instead of $2; nothing of it was run"
}

# Copy the list of Python packages of the source to a file.
packages() {
  case $source in
    file://*) cp "${source#file://}/requirements-cli.txt" "$1" ;;
    git+https://*@*)
      repository=${source#git+https://github.com/}
      repository=${repository%@*}
      curl -fsSL -o "$1" \
        "https://raw.githubusercontent.com/${repository%.git}/${source##*@}/requirements-cli.txt"
      ;;
    *) fail "RUST_MULTIARCH_INSTALL_FROM is $source; use git+https://github.com/…@COMMIT or file:///directory" ;;
  esac
}

install_command() {
  if [ -s "$marker" ]; then
    say "replacing $(cat "$marker") in $directory"
  else
    say "installing rust-multiarch $version into $directory"
  fi
  say "1/3 making a Python environment"
  made=0
  python3 -m venv --clear "$directory" || made=$?
  # Mark half an installation too, so that the next run can continue.
  mkdir -p "$directory"
  : > "$marker"
  [ "$made" = 0 ] || exit "$made"
  say "2/3 installing rust-multiarch $version from $source"
  packages "$temporary/requirements-cli.txt"
  verify "$temporary/requirements-cli.txt" "$requirements"
  set -- "$directory/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps
  "$@" --require-hashes --requirement "$temporary/requirements-cli.txt"
  # The build backend is among these packages; pip would download another one for an isolated build.
  "$@" --no-build-isolation "rust-multiarch @ $source"
  echo "$wanted" > "$marker"
}

# The command works without it: Dagger's SDK downloads one, and the embedded engine has its own.
install_dagger() {
  say "3/3 downloading dagger v$dagger"
  case $(uname -s)-$(uname -m) in
    Linux-x86_64 | Linux-amd64) machine=linux_amd64 digest=$dagger_linux_amd64 ;;
    Linux-aarch64 | Linux-arm64) machine=linux_arm64 digest=$dagger_linux_arm64 ;;
    *)
      no_dagger "there is no digest for $(uname -sm)"
      return
      ;;
  esac
  archive=dagger_v${dagger}_$machine.tar.gz
  if ! curl -fsSL -o "$temporary/$archive" "https://dl.dagger.io/dagger/releases/$dagger/$archive"; then
    no_dagger "$archive could not be downloaded"
    return
  fi
  verify "$temporary/$archive" "$digest"
  tar -xzf "$temporary/$archive" -C "$temporary" dagger
  mv "$temporary/dagger" "$directory/bin/dagger"
}

no_dagger() {
  say "warning: dagger v$dagger is not installed: $1" >&2
  say "warning: rust-multiarch works without it; for dagger call, install it from https://docs.dagger.io" >&2
}

install() {
  directory=${1:-$HOME/.rust-multiarch/v$version}
  source=${RUST_MULTIARCH_INSTALL_FROM:-git+https://github.com/rust-multiarch/rust-multiarch@v$version}
  marker=$directory/.rust-multiarch
  wanted="$version from $source"
  temporary=$(mktemp -d)
  trap 'rm -rf "$temporary"' EXIT
  if ! installed; then
    ours || fail "$directory is not empty, and would be emptied: name another, or empty it yourself"
    install_command
  fi
  case $(PATH="$directory/bin:$PATH" dagger version 2> /dev/null) in
    "dagger v$dagger "*) say "3/3 dagger v$dagger is installed already" ;;
    *) install_dagger ;;
  esac
  say "rust-multiarch $version is in $directory/bin"
  case ":$PATH:" in
    *":$directory/bin:"*) ;;
    *) say "to use it, run: export PATH=\"$directory/bin:\$PATH\"" ;;
  esac
}

# A script that was cut off on its way does nothing, since only these lines run something.
{
  install "$@"
}
