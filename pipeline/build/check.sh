#!/bin/bash
# Run a cargo command on the sources, for the target of the plan or, without one, for this machine.
#
# check.sh SOURCE BUILD PLAN [OUTPUT]: as in compile.sh; OUTPUT gets what is said of the compile cache
set -euo pipefail
state_programs=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=pipeline/build/state.sh
. "$state_programs/state.sh"
# shellcheck source=pipeline/build/compile_cache.sh
. "$state_programs/compile_cache.sh"

state_open "$1" "$2" "$3"
state_cache_credentials
state_linkers
state_enter "$(state_rows place)"
state_libraries_of=$(state_rows target)
if [ -n "$state_libraries_of" ]; then
    IFS=$'\t' read -r state_triple _ state_debian <<<"$state_libraries_of"
    state_libraries "$state_triple" "$state_debian"
else
    # The project's triple may have no standard library here, and its tests may not start.
    state_above=$PWD
    while :; do
        if grep -qsE '^ *(build\.)?target *=' "$state_above/.cargo/config" "$state_above/.cargo/config.toml"; then
            CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')
            export CARGO_BUILD_TARGET
        fi
        [ -n "$state_above" ] || break
        state_above=${state_above%/*}
    done
fi
state_words=()
while IFS= read -r state_line; do
    printf -v state_word '%b' "$state_line"
    state_words+=("$state_word")
done < <(state_rows word)
state_cache_open
"${state_words[@]}"
[ -z "${4:-}" ] || mkdir -p "$4"
state_cache_close "${4:-}"
state_finish
