#!/bin/bash
# Give cargo a wrapper of rustc that takes dependencies from a cache of compiled crates.
#
# For `source`, after state.sh: call `state_cache_open` after `state_enter`, and `state_cache_close` at the end.
# Rows of the plan:
#
#   sccache     the program
#   cached      the start of paths of crates that may be in the cache
#   store       a variable of sccache's server, and its value
#   remote      the address of the store that others share, for messages
#   credential  a variable of sccache's server; its value is in the variable RUST_MULTIARCH_STORE_<name>
#   used        the volume, if the entries that the build uses or makes are to be listed
#
# The server is started by the first crate that needs it; see cached_rustc.sh. Below $state_build/cache:
#   rustc     the wrapper, always at the same path, since cargo asks rustc again when it changes
#   compiler  what sccache runs instead of rustc
#   open      the directory of this build's files, for the wrapper

# state_cache_credentials: move the credentials of the store from the environment to a file of this build.
# shellcheck disable=SC2154 # state_tmp, state_build and state_programs are set before
state_cache_credentials() {
    local state_name state_variable
    (umask 077 && : >"$state_tmp/credentials")
    while IFS= read -r state_name; do
        state_variable=RUST_MULTIARCH_STORE_$state_name
        printf '%s=%s\0' "$state_name" "${!state_variable:-}" >>"$state_tmp/credentials"
    done < <(state_rows credential)
    unset "${!RUST_MULTIARCH_STORE_@}"
}

state_cache_open() {
    local state_variable state_programs_of
    state_sccache=$(state_rows sccache) state_programs_of=$(state_rows program | cut -f1)
    # The builder sets these variables to nothing, so that cargo does not look for the project's sccache.
    for state_variable in $state_programs_of; do
        [ -n "${!state_variable:-}" ] || unset "$state_variable"
    done
    # A wrapper of the user is not replaced, and a script in place of rustc adds arguments that sccache cannot see.
    if [ -z "$state_sccache" ] || [ -n "$state_programs_of${RUSTC_WRAPPER:-}${RUSTC:-}" ]; then
        state_sccache=
        return 0
    fi
    mkdir "$state_tmp/cache"
    state_rows cached >"$state_tmp/cache/crates"
    state_rows remote >"$state_tmp/cache/remote"
    state_rows store | while IFS=$'\t' read -r state_name state_value; do
        printf '%s=%s\0' "$state_name" "$state_value"
    done >"$state_tmp/cache/store"
    mv "$state_tmp/credentials" "$state_tmp/cache"
    cp "$state_tmp/environment" "$state_tmp/cache"
    echo "$state_sccache" >"$state_tmp/cache/program"
    env -0 | tr '\n\0' '\016\n' | sed 's/=.*//' | LC_ALL=C sort -u >"$state_tmp/cache/names"
    state_rows target | cut -f1 >"$state_tmp/cache/targets"
    mkdir -p "$state_build/cache"
    if ! cmp -s "$state_programs/cached_rustc.sh" "$state_build/cache/rustc"; then
        install -m 755 "$state_programs/cached_rustc.sh" "$state_build/cache/rustc"
    fi
    install -m 755 "$state_programs/sccache_rustc.sh" "$state_build/cache/compiler"
    echo "$state_tmp/cache" >"$state_build/cache/open"
    export RUSTC_WRAPPER=$state_build/cache/rustc
}

# state_cache_close [FOLDER]: stop the server; write to a folder what the cache had, as JSON, the warnings, and the list
# of entries.
state_cache_close() {
    [ -n "${state_sccache:-}" ] || return 0
    local state_numbers=${1:+$1/compile-cache.json}
    unset RUSTC_WRAPPER
    if [ -e "$state_tmp/cache/warnings" ]; then
        cat "$state_tmp/cache/warnings" >&2
        [ -z "${1:-}" ] || cp "$state_tmp/cache/warnings" "$1/compile-cache.txt"
    fi
    if [ "$(cat "$state_tmp/cache/state" 2>/dev/null)" = on ]; then
        export SCCACHE_SERVER_UDS=$state_tmp/cache/socket
        timeout 30 "$state_sccache" --show-stats --stats-format json >"${state_numbers:-/dev/null}" 2>/dev/null || :
        timeout 30 "$state_sccache" --stop-server >/dev/null 2>&1 || :
        unset SCCACHE_SERVER_UDS
        [ -z "${1:-}" ] || state_cache_used "$1/compile-cache.used"
    fi
    state_sccache=
}

# state_cache_used FILE: list the entries that were used or made, in this build or in another one at the same time:
# sccache sets the time stamp of both.
state_cache_used() {
    local state_volume
    state_volume=$(state_rows used)
    [ -n "$state_volume" ] || return 0
    find "$state_volume" -regextype posix-extended -type f -newer "$state_tmp/cache/names" \
        -regex '.*/([0-9a-f])/([0-9a-f])/\1\2[0-9a-f]+' -printf '%P\n' | LC_ALL=C sort >"$1"
}
