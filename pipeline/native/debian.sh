#!/bin/sh
# Download Debian packages of an architecture with the build platform's apt, and unpack them: see debian.py.
#
# debian.sh lists ARCHITECTURE                   download the package lists, with a separate apt state
# debian.sh development ARCHITECTURE PACKAGE...  unpack into the builder, without programs and configuration
# debian.sh runtime BASE OUTPUT ARCHITECTURE PACKAGE...
#     unpack into the directory OUTPUT, without the packages of the base whose dpkg state is in BASE
set -eu

lists() {
    state=/opt/rust-multiarch/apt/$1
    mkdir -p "$state/lists/partial"
    cat >"$state/apt.conf" <<CONF
APT::Architecture "$1";
APT::Architectures { "$1"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::State "$state";
Dir::State::status "/dev/null";
Dir::Cache "$state";
CONF
    # A suite that cannot be had for this architecture shows in a package that is then not found.
    APT_CONFIG=$state/apt.conf apt-get update -qq ||
        echo "warning: not every package list for $1 could be had" >&2
}

# Make the directory of the downloads; a base's packages are added to $tmp/status.
prepare() {
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    mkdir -p "$tmp/archives/partial"
    : >"$tmp/status"
}

# fetch ARCHITECTURE PACKAGE...: download packages with their dependencies to $tmp/archives, without those in
# $tmp/status. Old lists may name packages that no longer exist, so it updates them after a failure.
fetch() {
    export APT_CONFIG="/opt/rust-multiarch/apt/$1/apt.conf"
    shift
    set -- -y -qq -o "Dir::State::status=$tmp/status" -o "Dir::Cache::archives=$tmp/archives" \
        --download-only install "$@"
    apt-get "$@" || { apt-get update -qq && apt-get "$@"; }
}

development() {
    architecture=$1
    shift
    names=/opt/rust-multiarch/sonames/$architecture
    mkdir -p /opt/rust-multiarch/sonames
    if [ "$architecture" = "$(dpkg --print-architecture)" ]; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "$@"
        rm -rf /var/lib/apt/lists/*
        for list in /var/lib/dpkg/info/*.list; do
            package=$(basename "${list%.list}")
            sed -n "s#.*/\(lib[^/]*\.so\.[^/]*\)\$#\1 ${package%:*}#p" "$list"
        done >"$names"
        return
    fi
    prepare
    fetch "$architecture" "$@"
    for deb in "$tmp"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C / --keep-directory-symlink --no-same-owner \
            --exclude='./bin' --exclude='./sbin' --exclude='./usr/bin' --exclude='./usr/sbin' \
            --exclude='./usr/games' --exclude='./usr/libexec' --exclude='./etc' --exclude='./var' \
            --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale'
        package=$(dpkg-deb --field "$deb" Package)
        mkdir -p "/opt/rust-multiarch/packages/$architecture"
        dpkg-deb --field "$deb" >"/opt/rust-multiarch/packages/$architecture/$package"
        dpkg-deb --contents "$deb" | awk -v package="$package" \
            '$6 ~ /\/lib[^\/]*\.so\.[^\/]*$/ { sub(/.*\//, "", $6); print $6, package }'
    done >"$names"
}

runtime() {
    base=$1 root=$2
    shift 2
    prepare
    [ ! -f "$base/status" ] || cp "$base/status" "$tmp/status"
    for file in "$base"/status.d/*; do
        case $file in *.md5sums | *'*') continue ;; esac
        sed '/^Status:/d; /^$/d' "$file"
        printf 'Status: install ok installed\n\n'
    done >>"$tmp/status"
    fetch "$@"
    mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/var/lib/dpkg/status.d"
    # The base's /lib is a link in every current Debian; through links here nothing is put beside it.
    for name in bin sbin lib; do ln -s "usr/$name" "$root/$name"; done
    for deb in "$tmp"/archives/*.deb; do
        [ -f "$deb" ] || continue
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink \
            --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='./usr/share/lintian'
        dpkg-deb --field "$deb" >"$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$deb" Package)"
    done
    [ ! -d "$root/usr/share/doc" ] || find "$root/usr/share/doc" -type f ! -name copyright -delete
    if [ -d "$base" ] && [ -n "$(ls "$base")" ]; then rm "$root/bin" "$root/sbin" "$root/lib"; fi
    find "$root" -depth -type d -empty -delete
    find "$root" \( -type d -o -path '*/status.d/*' \) -exec touch -d @0 {} +
    mkdir -p "$root"
}

"$@"
