#!/bin/bash
# Run rustc for cargo, by sccache if the crate is a dependency that the compile cache may have.
#
# cached_rustc RUSTC ARGUMENT...
#
# sccache's key has the arguments, the sources, the crates in `--extern`, the variables that rustc reports and those
# that start with CARGO_. What else can change a crate is added to it here, in a variable with such a name:
#
#   - the names of the standard library's files, which have hashes, and variables of rustc
#   - static libraries in the directories that build scripts add, and Debian's packages for those of the system
#   - for macros, which may read anything, and for crates whose files are listed without rustc (sccache_rustc.sh): the
#     variables that dependencies mention, those of the build script, and the files that it made
folder=${0%/*}
read -r cache <"$folder/open" 2>/dev/null || exec "$@"
words=" $* "

# Print yes if the crate is one of those that may be in the cache.
allowed() {
    local start
    case $words in
        *" -Z"* | *target-cpu=native* | *" --sysroot"* | *profile-use* | *incremental=*) return 1 ;;
        *" --emit=dep-info,metadata,link "*" extra-filename="*) ;;
        *) return 1 ;;
    esac
    while IFS= read -r start; do
        [[ $PWD/ != "$start"* ]] || return 0
    done <"$cache/crates"
    return 1
}

# Start the server once; it is off if it cannot be started, or cannot run this compiler.
start() {
    if [ ! -s "$cache/state" ]; then
        exec 9>"$cache/lock"
        flock 9
        [ -e "$cache/state" ] || server
        exec 9>&-
    fi
    [ "$(<"$cache/state")" = on ]
}

server() {
    local variables=() variable program target
    program=$(cat "$cache/program")
    # The compiler itself, since sccache looks for its libraries beside it, and not those of a link or of rustup.
    rustc=$(rustc --print sysroot)/bin/rustc
    echo "$rustc" >"$cache/rustc"
    printf '%s\n' rustc "$(command -v rustc)" "$rustc" >"$cache/compilers"
    # A builder may have another standard library with the same compiler.
    mkdir -p "$cache/std"
    ls "$(rustc --print target-libdir)" >"$cache/std/host"
    while IFS= read -r target; do
        ls "$(rustc --print target-libdir --target "$target")" >"$cache/std/$target"
    done <"$cache/targets"
    dpkg-query --show '*-dev' >"$cache/packages" 2>/dev/null || :
    while IFS= read -r -d '' variable; do variables+=("$variable"); done < <(cat "$cache/store" "$cache/credentials")
    if launch "${variables[@]}"; then
        unwritable
        echo on >"$cache/state"
        # A shell in between, or redirections of a function, would keep the lock and cargo's pipes open.
        if [ -s "$cache/remote" ]; then (exec </dev/null >/dev/null 2>&1 9>&- && watch "${variables[@]}") & fi
    elif [ -s "$cache/remote" ] && refused "at $(cat "$cache/remote")" &&
        # The last of two variables with a name counts.
        launch "${variables[@]}" SCCACHE_MULTILEVEL_CHAIN=disk; then
        echo on >"$cache/state"
    else
        refused "of the engine"
        echo off >"$cache/state"
    fi
}

# refused NAME: keep a warning, which state_cache_close prints; cargo would repeat it in later builds.
refused() {
    local said
    said=$(grep -v '^sccache: Starting' "$cache/said" | tail -n 3 | paste -s -d ' ')
    echo "warning: the compile cache $1 is not used: ${said:-it does not answer}" >>"$cache/warnings"
}

# Keep a warning if the store cannot be written to, for example when it is full: sccache then writes nothing at all.
unwritable() {
    [ -s "$cache/remote" ] && grep -q '^storage write check failed' "$cache/log" 2>/dev/null || return 0
    echo "warning: the compile cache at $(cat "$cache/remote") cannot be written to, so new crates are not kept: $(
        sed -n '/^Source:/ { n; s/^ *//; p }' "$cache/log" | head -n 1
    )" >>"$cache/warnings"
}

# Find the processes of this build: sets `server` and `clients`.
processes() {
    local process
    server='' clients=()
    for process in /proc/[0-9]*; do
        [ "$process/exe" -ef "$program" ] || continue
        grep -qzxF "SCCACHE_SERVER_UDS=$cache/socket" "$process/environ" 2>/dev/null || continue
        if grep -qzxF SCCACHE_IDLE_TIMEOUT=0 "$process/environ" 2>/dev/null; then
            server=${process#/proc/}
        else
            clients+=("${process#/proc/}")
        fi
    done
}

# End the server, which may wait for the store.
end() {
    local server clients
    processes
    [ -z "$server" ] || kill -KILL "$server"
    rm -f "$cache/socket"
}

# watch VARIABLE...: start the server without the store if that stops answering during the build: sccache would wait
# for it with each crate, a minute or longer. A crate waits for the store if it neither ends nor is compiled.
watch() {
    local server clients client
    local -A waits=() before=()
    while sleep 5; do
        processes
        [ -n "$server" ] || return 0
        before=()
        for client in "${!waits[@]}"; do before[$client]=${waits[$client]}; done
        waits=()
        [ -z "$(cat "/proc/$server/task/"*/children 2>/dev/null)" ] || continue
        for client in "${clients[@]}"; do
            waits[$client]=$((${before[$client]:-0} + 1))
            if [ "${waits[$client]}" -ge 5 ]; then
                echo off >"$cache/state"
                echo "warning: the compile cache at $(cat "$cache/remote") does not answer," \
                    "and is no longer used in this build" >>"$cache/warnings"
                # The waiting crates are then compiled without a cache.
                end
                launch "$@" SCCACHE_MULTILEVEL_CHAIN=disk && echo on >"$cache/state"
                return 0
            fi
        done
    done
}

# launch VARIABLE...: start the server, and try it.
launch() {
    local name passed=()
    for name in {http,https,all,no}_proxy {HTTP,HTTPS,ALL,NO}_PROXY SSL_CERT_FILE SSL_CERT_DIR; do
        [ -z "${!name:-}" ] || passed+=("$name=${!name}")
    done
    passed+=(PATH="$PATH" HOME=/nonexistent SCCACHE_SERVER_UDS="$cache/socket" SCCACHE_IDLE_TIMEOUT=0
        SCCACHE_LOG=sccache=warn SCCACHE_ERROR_LOG="$cache/log")
    (cd / && env -i "${passed[@]}" "$@" timeout 20 "$program" --start-server) \
        >"$cache/said" 2>&1 </dev/null 9>&- || return 1
    probe && return
    end
    return 1
}

# Compile an empty crate. Its path is always the same, and so is its key.
probe() (
    mkdir -p "$folder/probe" && cd "$folder/probe" && : >lib.rs || exit 1
    # Variables of the crate that started the server would be in the key.
    unset "${!CARGO_@}"
    export SCCACHE_SERVER_UDS=$cache/socket
    timeout 30 "$program" "$folder/compiler" --crate-name probe --crate-type lib lib.rs --emit=dep-info,metadata,link \
        -C extra-filename=-1 --out-dir "$folder/probe" >"$cache/said" 2>&1 9>&- &&
        "$program" --zero-stats >/dev/null 2>&1 9>&-
)

# Code that includes a file by an absolute path, or by a variable other than those of its package.
outside='include(_str|_bytes)?\s*!\s*[({\[]\s*(concat\s*!\s*[({\[]\s*)?'
outside+='(r?#*"/|env\s*!\s*[({\[]\s*"(?!(OUT_DIR|CARGO_MANIFEST_DIR)"))|#\s*\[\s*path\s*=\s*r?#*"/'

# Look through the code of all dependencies, once for all crates. Below $cache:
#   mentioned  the variables of this build that it mentions
#   macros     files with such code that define macros, by which other crates may include files
search() {
    [ ! -e "$cache/mentioned" ] || return 0
    exec 9>"$cache/lock"
    flock 9
    if [ ! -e "$cache/mentioned" ]; then
        cut -d = -f1 "$cache/environment" | grep -E '^[A-Za-z_][A-Za-z0-9_]*$' | LC_ALL=C sort -u >"$cache/candidates"
        while IFS= read -r start; do
            # A prefix of a path: the directories that start with it.
            compgen -G "$start*" || :
        done <"$cache/crates" | tr '\n' '\0' >"$cache/folders"
        xargs -0r grep -rlzP --null --include='*.rs' -e "$outside" -- <"$cache/folders" 2>/dev/null |
            xargs -0r grep -lF 'macro_rules!' -- >"$cache/macros"
        xargs -0r grep -rhowF --include='*.rs' -f "$cache/candidates" -- <"$cache/folders" 2>/dev/null |
            LC_ALL=C sort -u |
            LC_ALL=C join -t = - <(LC_ALL=C sort -t = -k 1,1 "$cache/environment") >"$cache/mentioned.new"
        mv "$cache/mentioned.new" "$cache/mentioned"
    fi
    exec 9>&-
}

# Print the variables that cargo sets for this crate only, except those in sccache's key.
own_variables() {
    env -0 | tr '\n\0' '\016\n' | LC_ALL=C sort | awk -v names="$cache/names" '
        BEGIN { while ((getline name <names) > 0) known[name] }
        { name = $0; sub(/=.*/, "", name) }
        !(name in known) && name !~ /^(CARGO_|RUSTC_WRAPPER$|_$|SHLVL$)/'
}

# Print yes if all files that the crate reads are in its directory and in OUT_DIR: it is a package of a registry, which
# is published alone, without procedural macros, no code includes other files, and its build script sets no variable, which
# could name another file. The variables here are set by cargo and rustup.
listed() {
    case $PWD/ in */registry/src/*) ;; *) return ;; esac
    case $words in *" --extern "*.so" "*) return ;; esac
    [ ! -s "$cache/macros" ] || return
    grep -rzqsP --include='*.rs' -e "$outside" .
    [ $? = 1 ] || return
    grep -qvE \
        '^(OUT_DIR|CARGO|LD_LIBRARY_PATH|RUSTUP_[A-Z_]+|RUST_RECURSION_COUNT|SSL_CERT_(DIR|FILE))=' <<<"$own" || echo yes
}

# Print all else that the result depends on; fail if that is too much to say.
beyond() {
    local previous='' word target=host directories=()
    for word; do
        case $previous in
            --target) target=$word ;;
            -L) case $word in
                dependency=* | crate=* | framework=*) ;;
                *) directories+=("${word#*=}") ;;
            esac ;;
        esac
        previous=$word
    done
    cat "$cache/std/$target" || return 1
    # Flags are arguments.
    env -0 | grep -zE '^RUST' | grep -zvE '^(RUSTC_WRAPPER|RUSTFLAGS|RUSTDOCFLAGS)=' | LC_ALL=C sort -z
    for word in "${directories[@]}"; do
        case $word in
            "${folder%/*}"/*) find "$word" -maxdepth 1 -type f -name '*.a' -print0 | LC_ALL=C sort -z |
                xargs -0r sha256sum -- ;;
            *) cat "$cache/packages" ;;
        esac
    done
    if [ -n "$listed" ]; then
        cat "$cache/mentioned"
        echo "$own"
        [ -z "${OUT_DIR:-}" ] || find "$OUT_DIR" -type f -printf '%P\n' | LC_ALL=C sort
    fi
    case $words in
        *" --extern "*.so" "*)
            cat "$cache/mentioned"
            echo "$own"
            if [ -n "${OUT_DIR:-}" ]; then
                [ "$(find "$OUT_DIR" -type f | head -n 65 | wc -l)" -le 64 ] || return 1
                find "$OUT_DIR" -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum --
            fi
            ;;
    esac
}

# Return 0 if a compiler is the builder's: the project's configuration may name another one. The directory of its path
# may be a symbolic link.
known() {
    grep -qxF -e "$1" "$cache/compilers" || [ "$1" -ef "$(<"$cache/rustc")" ]
}

if ! allowed || ! start || ! known "$1"; then
    exec "$@"
fi
search
own=$(own_variables) listed=$(listed)
key=$(set -o pipefail && beyond "$@" | sha256sum) || exec "$@"
# rustc links no dependency, and a build for other platforms has other linkers.
for variable in "${!CARGO_TARGET_@}"; do
    [[ $variable != *_LINKER ]] || unset "$variable"
done
CARGO_RUST_MULTIARCH_KEY=${key%% *} SCCACHE_SERVER_UDS=$cache/socket SCCACHE_IGNORE_SERVER_IO_ERROR=1 \
    RUST_MULTIARCH_LISTED=$listed exec "$(<"$cache/program")" "$folder/compiler" "${@:2}"
