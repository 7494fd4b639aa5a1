#!/bin/bash
# Compile a project and collect its programs.
#
# compile.sh SOURCE BUILD PLAN OUTPUT
#   SOURCE  the sources; only read
#   BUILD   the volume of compiled state
#   PLAN    what to do: see plan_file.py
#   OUTPUT  gets <triple>/<program>, stripped; symbols/<triple>/<program>.debug, linked to by build id and debug
#           link; programs/<triple>, a line for each program with its size and the packages of its libraries
#
# Variables that are set while cargo runs start with `state_`, as in state.sh.
set -euo pipefail
state_programs=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=pipeline/build/state.sh
. "$state_programs/state.sh"
# shellcheck source=pipeline/build/compile_cache.sh
. "$state_programs/compile_cache.sh"

# Run a `cargo build`, keep its messages, and print a line for each crate that is ready for a target.
build() {
    "$@" --message-format=json-render-diagnostics | tee -a "$state_tmp/messages" | sed -unE "
        s/^\{\"reason\":\"compiler-artifact\",\"package_id\":\"([^\"]+)\".*\"filenames\":\[\"[^\"]*\/($state_triples)\/\
.*\"fresh\":(true|false)\}\$/\3 \1 for \2/
        T
        s,(registry|sparse)\+[^ #]*#,,
        s/^true /       Fresh /
        s/^false /       Built /
        p"
}

# Run the commands of the plan, each with its words.
build_all() {
    local state_line state_word state_words=()
    : >"$state_tmp/messages"
    state_triples=$(state_rows target | cut -f1 | paste -s -d '|')
    while IFS= read -r state_line; do
        if [ "${state_line%%$'\t'*}" = word ]; then
            printf -v state_word '%b' "${state_line#*$'\t'}"
            state_words+=("$state_word")
        elif [ ${#state_words[@]} -gt 0 ]; then
            build "${state_words[@]}"
            state_words=()
        fi
    done < <(
        sed -n '/^\(command\|word\)\t/p' "$state_plan"
        echo end
    )
}

# Collect all programs, as many at a time as there are processors, and list them in the plan's order.
collect_all() {
    local triple tools debian program state_started=()
    while IFS=$'\t' read -r triple tools debian; do
        mkdir -p "$state_output/$triple" "$state_output/symbols/$triple" "$state_output/programs" "$state_tmp/listed/$triple"
        while IFS= read -r program; do
            if [ ${#state_started[@]} -eq "$(nproc)" ]; then
                wait "${state_started[0]}"
                state_started=("${state_started[@]:1}")
            fi
            collect "$triple" "$tools" "$debian" "$program" &
            state_started+=($!)
        done < <(state_rows binary)
    done < <(state_rows target)
    for program in "${state_started[@]}"; do
        wait "$program"
    done
    while IFS=$'\t' read -r triple _; do
        state_rows binary | sed "s,^,$state_tmp/listed/$triple/," | xargs -d '\n' cat >"$state_output/programs/$triple"
    done < <(state_rows target)
}

# collect TRIPLE TOOLS DEBIAN PROGRAM
collect() {
    local triple=$1 tools=$2 debian=$3 name=$4 folder=$state_output/$1 symbols=$state_output/symbols/$1
    local built libraries sections=()
    # The path from cargo's output, since it depends on the project's configuration and arguments.
    built=$(sed -nE "s/^\{\"reason\":\"compiler-artifact\".*\"executable\":\"([^\"]*\/$triple\/[^\"]*)\".*/\1/p" \
        "$state_tmp/messages" | grep "/$name\$" | tail -n 1) || :
    if [ ! -f "$built" ]; then
        echo "error: cargo built no program $name for $triple" >&2
        exit 1
    fi
    while IFS= read -r state_line; do
        sections+=(--add-section ".dep-v0=$state_line/$triple/$name")
    done < <(state_rows sections)
    cd "$symbols" || exit
    "$tools-objcopy" --only-keep-debug "$built" "$name.debug"
    "$tools-objcopy" --strip-all "${sections[@]}" --add-gnu-debuglink="$name.debug" "$built" "$folder/$name"
    chmod 755 "$folder/$name"
    touch -d @0 "$folder/$name" "$name.debug"
    # The libraries come from the linked program, not from the plan: a crate also links a library that it
    # finds because another crate needs it.
    libraries=$(state_rows libraries)/$debian
    [ -e "$libraries" ] || libraries=/dev/null
    {
        echo "$name"
        stat --format=%s "$folder/$name"
        "$tools-readelf" --dynamic "$folder/$name" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
            awk 'FILENAME == "-" { wanted[$1] = 1; next } wanted[$1] && !seen[$1]++ { print $2 }' - "$libraries" |
            sort -u
    } | paste -s -d ' ' >"$state_tmp/listed/$triple/$name"
}

state_open "$1" "$2" "$3"
state_output=$4
state_cache_credentials
while IFS= read -r state_archive; do
    [ -e "$state_build/src" ] ||
        bash "$state_programs/unpack.sh" "$state_archive" "$state_build" build target state
done < <(state_rows archive)
state_linkers
state_enter "$(state_rows place)"
while IFS=$'\t' read -r state_triple _ state_debian; do
    state_libraries "$state_triple" "$state_debian"
done < <(state_rows target)
state_cache_open
build_all
mkdir -p "$state_output"
state_cache_close "$state_output"
state_finish
collect_all
