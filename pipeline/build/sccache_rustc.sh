#!/bin/sh
# Run rustc for sccache, which asks rustc before each compile what a crate reads and which files it makes.
#
# sccache_rustc ARGUMENT...
#
# With RUST_MULTIARCH_LISTED, all that the crate reads is in its directory and in OUT_DIR (see cached_rustc.sh): then
# those files are listed without rustc, which would expand the whole crate for it.
folder=${0%/*}
read -r cache <"$folder/open"
read -r rustc <"$cache/rustc"
[ -n "$RUST_MULTIARCH_LISTED" ] || exec "$rustc" "$@"
case "$*" in
*" --emit dep-info -o "*)
    for last; do :; done
    # The form of make, as rustc writes it.
    {
        printf 'crate:'
        find "$PWD" ${OUT_DIR:+"$OUT_DIR"} -type f | LC_ALL=C sort | sed 's/[\\ ]/\\&/g; s/^/ /' | tr -d '\n'
        echo
    } >"$last"
    ;;
*" --print file-names")
    name='' extra='' kind='' previous=''
    for word; do
        case $previous=$word in
        --crate-name=*) name=$word ;;
        --crate-type=*) kind=$kind$word, ;;
        -C=extra-filename=*) extra=${word#*=} ;;
        esac
        previous=$word
    done
    case $kind in
    rlib,) echo "lib$name$extra.rlib" ;;
    proc-macro,) echo "lib$name$extra.so" ;;
    *) exec "$rustc" "$@" ;;
    esac
    ;;
*) exec "$rustc" "$@" ;;
esac
