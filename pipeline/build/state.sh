#!/bin/bash
# Copy the sources into the volume of compiled state, and remove results of other inputs.
#
# For `source`: compile.sh and check.sh call `state_enter` before cargo and `state_finish` after it.
# Cargo decides by time stamps and by declared inputs. Here the inputs of a package are all
# its files, links and modes, the files outside every package, and the variables: if one of them differs from
# the last build, the fingerprints of the package and the output of its build script are removed, so that
# cargo compiles it again. Files that a build script or a macro wrote into the sources are removed with them.
#
# Below $state_folder:
#   current/manifest     the sources of the last build: path, type, mode, digest or link target
#   current/listing      the same tree before cargo ran, by size, change time and inode
#   current/dirt         paths in it that builds changed and that were kept
#   current/packages     the project's packages: name, directory, `runs` or `plain`
#   current/environment  variables, with digests of their values
#   current/arguments    additional arguments of cargo
#   current/commands     the commands
#   current/absent       files of the repository that were not uploaded
#   current/written      paths that builds changed, at the end of that build
#   current/done         exists if that build succeeded
#   exposed              paths of stand-ins in the working tree
#   restored             exists while the working tree has been made from an archive, and no build has started
#   mentions/            for each lock file and variable: the dependencies with its name in their code
#
# Names start with `state_`, since any other variable may be one of the project's.

# state_open SOURCE BUILD PLAN
state_open() {
    state_source=$1 state_build=$2 state_plan=$3
    state_work=$state_build/src state_target=$state_build/target state_folder=$state_build/state
    state_tmp=$(mktemp -d)
    trap state_leave EXIT
    # The project's `build.target-dir` and `build.build-dir` would move the state out of the volume.
    export CARGO_TARGET_DIR=$state_target CARGO_BUILD_BUILD_DIR=$state_target
}

# state_rows KIND: print the fields of the plan's rows of a kind.
state_rows() {
    sed -n "s/^$1\t//p" "$state_plan"
}

# Use Debian's cross linkers unless one is set, also for platforms without a build: build scripts and macros
# are linked for one of them, and the project's linker is for its developers' machines.
state_linkers() {
    local state_name state_program
    while IFS=$'\t' read -r state_name state_program; do
        if [ -z "${!state_name:-}" ] && command -v "$state_program" >/dev/null; then
            export "$state_name=$state_program"
        fi
    done < <(state_rows linker)
}

# state_libraries TRIPLE ARCHITECTURE: remove a target's results of other libraries. One case is another
# standard library: a builder may have a different one with the same compiler, and cargo checks only the
# compiler; its crates would be fresh, and rustc could not find them ("can't find crate"). The other is
# different development packages: a build script looks for a library (`-l z`) once, and the next link fails
# if it is gone, or does not use it if it is new.
state_libraries() {
    local state_there state_file=$state_target/$1/.there
    state_there=$({
        ls "$(rustc --print target-libdir --target "$1")"
        # shellcheck disable=SC2016
        dpkg-query --show --showformat '${Architecture} ${Package} ${Version}\n' '*-dev' 2>/dev/null |
            awk -v architecture="$2" '$1 == architecture' || :
    } | sha256sum)
    [ "$(cat "$state_file" 2>/dev/null)" = "$state_there" ] || rm -rf "${state_target:?}/$1"
    mkdir -p "$state_target/$1"
    echo "$state_there" >"$state_file"
}

# Remove all results of another compiler or wrapper by a script: cargo does not compile anything again for one.
state_compilers() {
    local state_there state_program state_file=$state_target/.compilers
    state_there=$({
        printf '%s\n' "${RUSTC:-}" "${RUSTC_WRAPPER:-}" "${RUSTC_WORKSPACE_WRAPPER:-}"
        state_rows program
        state_rows program | cut -f2 | while IFS= read -r state_program; do
            cut -f1,4 "$state_tmp/manifest" | grep -aF "${state_program#./}"$'\t' || :
        done
    } | sha256sum)
    [ "$(cat "$state_file" 2>/dev/null)" = "$state_there" ] || rm -rf "$state_target"
    mkdir -p "$state_target"
    echo "$state_there" >"$state_file"
}

# One line for each file name: line breaks and tabs in it become bytes that names cannot have.
state_encode() {
    LC_ALL=C tr '\n\t\003\0' '\016\017\t\n'
}

state_decode() {
    LC_ALL=C tr '\n\016\017' '\0\n\t'
}

state_sort() {
    LC_ALL=C sort -u "$@"
}

# state_describe FOLDER: print a line for each existing encoded path on stdin.
state_describe() (
    cd "$1" || exit
    # A missing path is not an error.
    { sed 's|^|./|' | state_decode | xargs -0r sh -c 'exec find "$@" -maxdepth 0 \
        -type f -printf "%p\003f\003%m\003\0" -o -type d -printf "%p\003d\003%m\003-\0" \
        -o -type l -printf "%p\003l\003-\003%l\0" 2>/dev/null' find || :; } |
        state_encode >"$state_tmp/described"
    awk -F'\t' '$2 == "f"' "$state_tmp/described" >"$state_tmp/files"
    cut -f1 "$state_tmp/files" | state_decode | xargs -0r sha256sum -z -- | state_encode |
        cut -c1-64 >"$state_tmp/digests"
    {
        awk -F'\t' '$2 != "f"' "$state_tmp/described"
        paste -d '\0' "$state_tmp/files" "$state_tmp/digests"
    } | sed 's|^\./||' | state_sort
)

# Fail if a file has other content than on the user's machine, or if a tracked file is missing. The engine
# uploads a file only if its size or its time stamp differs from the last upload.
state_compare() {
    state_rows digests | while IFS= read -r state_file; do state_encode <"$state_file"; done |
        awk -F'\t' '
            FILENAME == "-" { wanted[$3] = $1; if ($2 == "tracked") lacking[$3]; next }
            { delete lacking[$1] }
            $2 == "f" && ($1 in wanted) && wanted[$1] != $4 { print $1 }
            END { for (path in lacking) print path }' - "$state_tmp/manifest" | state_sort >"$state_tmp/outdated"
    [ -s "$state_tmp/outdated" ] || return 0
    echo "error: files in the engine differ from those on disk: $(state_named "$state_tmp/outdated")" >&2
    exit 1
}

# state_named PATHS: print the first encoded paths of a file in one line, for a message.
state_named() {
    head -n 5 "$1" | paste -s -d ' ' | tr '\016\017' '??'
}

# state_scan FOLDER: the same for everything in it.
state_scan() {
    (cd "$1" && find . -mindepth 1 -printf '%P\0') | state_encode | state_describe "$1"
}

# List the working tree by size, inode and change time, which no program can set.
state_listing() {
    (cd "$state_work" && find . -mindepth 1 \( -type d -printf '%P\003d\003%m\0' \
        -o -printf '%P\003%y\003%m\003%s %C@ %i %l\0' \)) | state_encode | state_sort
}

# state_differing FILE FILE: print the paths whose lines differ.
state_differing() {
    LC_ALL=C comm -3 "$1" "$2" | sed 's/^\t//' | cut -f1 | state_sort
}

# state_with PATHS FILE: print the lines of a file whose path is listed; state_without: the others.
state_with() {
    LC_ALL=C join -t $'\t' "$1" "$2"
}

state_without() {
    LC_ALL=C join -t $'\t' -v 2 "$1" "$2"
}

# state_owners FOLDERS: print the nearest of some directories for each path on stdin; `*` without one.
state_owners() {
    awk -F'\t' -v folders="$1" '
        BEGIN { while ((getline folder <folders) > 0) known[folder] }
        {
            place = $1
            while (!(place in known) && place != ".")
                if (!sub(/\/[^\/]*$/, "", place)) place = "."
            print place in known ? place : "*"
        }' | state_sort
}

# Rust sources of the project; vendored crates have checksums, which cargo checks.
state_code() {
    awk -F'\t' '
        FNR == 1 { pass++ }
        pass == 1 { if (sub(/\/\.cargo-checksum\.json$/, "", $1)) vendored[$1]; next }
        $2 != "f" || $1 !~ /\.rs$/ { next }
        {
            place = $1
            while (sub(/\/[^\/]*$/, "", place)) if (place in vendored) next
            print "./" $1
        }' "$state_tmp/manifest" "$state_tmp/manifest" | state_decode
}

# The directories of packages that may read files of other packages at compile time, untracked by cargo:
# a path out of the directory in a string (cargo tracks `include_str!`), a link out of it, and in code that
# runs at compile time also words that look for a parent directory or the workspace.
state_wide() {
    [ ! -e "$state_tmp/leading" ] || return 0
    state_code | (cd "$state_source" && xargs -0r awk '
        FNR == 1 { said = 0 }
        said || /^[ \t]*\/\// { next }
        /"([^"]*\/)?\.\.["\/]/ && !/include(_str|_bytes)?!|#\[path/ { print "any\t" FILENAME; said = 1; next }
        /parent\(\)|ancestors\(|[Ww]orkspace|WORKSPACE|cargo_metadata|MetadataCommand|locate-project/ {
            print "runs\t" FILENAME
        }') | sed 's|\./||' | state_sort >"$state_tmp/leading"
    awk -F'\t' '$2 == "l" && ($4 ~ /^\// || $4 ~ /\.\./) { print "any\t" $1 }' "$state_tmp/manifest" \
        >>"$state_tmp/leading"
    sed -n 's/^any\t//p' "$state_tmp/leading" | state_owners "$state_tmp/folders" >"$state_tmp/wide"
    {
        sed -n 's/^runs\t//p' "$state_tmp/leading" | state_owners "$state_tmp/folders"
        # A build script may walk through its directory, and the packages in it.
        awk 'NR > 1 { for (each in seen) if (each == "." || index($0, each "/") == 1) print each }
            { seen[$0] }' "$state_tmp/folders"
    } | state_sort | LC_ALL=C comm -12 - "$state_tmp/running" | state_sort - "$state_tmp/wide" |
        sed '/^\*$/d' >"$state_tmp/wider"
    mv "$state_tmp/wider" "$state_tmp/wide"
}

# Replace the values of variables on stdin by digests: some are secrets.
state_digests() {
    mkdir "$state_tmp/values"
    awk -v folder="$state_tmp/values" '{
        file = sprintf("%s/%06d", folder, NR)
        print >file
        close(file)
        sub(/=.*/, "")
        print
    }' >"$state_tmp/values.names"
    find "$state_tmp/values" -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum | cut -c1-64 |
        paste -d = "$state_tmp/values.names" -
}

# The variables that a build script or a macro may read: all except those of the engine, this shell and the
# cross compilers, which depend on the platforms of a build. Build arguments always count.
state_environment() {
    env -0 | state_encode | state_sort >"$state_tmp/variables"
    {
        grep -avE "^(_|PWD|OLDPWD|SHLVL|HOSTNAME|TERM|TRACE(PARENT|STATE)|BAGGAGE|(_EXPERIMENTAL_)?DAGGER_[^=]*\
|OTEL_[^=]*|QEMU_LD_PREFIX|CARGO_(TARGET_DIR|BUILD_BUILD_DIR)|CARGO_TARGET_[A-Z0-9_]+_LINKER\
|[A-Z_]+_[a-z0-9_]+_linux_(gnu|musl)[a-z0-9]*)=" "$state_tmp/variables" || :
        state_rows variable | sed 's/$/=/' >"$state_tmp/chosen"
        awk -v chosen="$state_tmp/chosen" '
            BEGIN { while ((getline name <chosen) > 0) known[name] }
            { name = $0; sub(/=.*/, "=", name) }
            name in known' "$state_tmp/variables"
    } | state_sort | state_digests
}

# state_mentioning NAME: print the names of dependencies with a word in their code or build scripts.
state_mentioning() {
    local state_lock state_file
    state_lock=$(grep -a "Cargo\.lock"$'\t' "$state_tmp/manifest" | sha256sum | cut -c1-16)
    state_file=$state_folder/mentions/$state_lock-$1
    if [ ! -e "$state_file" ]; then
        mkdir -p "$state_folder/mentions"
        if [ ! -e "$state_tmp/dependencies" ]; then
            (cd "$state_source/$state_place" && cargo metadata --locked --offline --format-version 1) \
                >"$state_tmp/metadata" || return 1
            grep -aoE '"manifest_path":"[^"]*"' "$state_tmp/metadata" | cut -d'"' -f4 |
                sed 's|/Cargo.toml$||' | state_sort >"$state_tmp/all"
            sed "s|^|$state_source/|; s|/\.$||" "$state_tmp/folders" | state_sort |
                LC_ALL=C comm -23 "$state_tmp/all" - >"$state_tmp/dependencies"
        fi
        { tr '\n' '\0' <"$state_tmp/dependencies" | xargs -0r grep -rlwFZ --include="*.rs" -e "$1" -- || :; } | state_encode |
            state_owners "$state_tmp/dependencies" | while IFS= read -r state_folder_of; do
            awk 'NR == 1 { sub(/^\357\273\277/, "") }
                /^[ \t]*\[/ { here = /\[package\]/ }
                here && sub(/^[ \t]*name[ \t]*=[ \t]*./, "") { print substr($0, 1, match($0, /["\047]/) - 1); exit }' \
                "$state_folder_of/Cargo.toml"
        done >"$state_tmp/mentioning"
        mv "$state_tmp/mentioning" "$state_file"
    fi
    cat "$state_file"
}

# state_drop: remove the results of the packages on stdin, for every platform and profile. A fingerprint is
# moved away first, so that a build that is killed here leaves no fingerprint without the rest of its unit.
state_drop() {
    local state_package state_profile state_unit state_hash='[0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
    state_hash=$state_hash$state_hash$state_hash$state_hash
    mkdir -p "$state_folder/trash"
    local state_trash state_count=0
    state_trash=$(mktemp -d "$state_folder/trash/XXXXXX")
    while IFS= read -r state_package; do
        for state_profile in "$state_target"/*/ "$state_target"/*/*/; do
            # The last is cargo's newer layout, with all of a unit in one place.
            for state_unit in "$state_profile.fingerprint/$state_package"-$state_hash \
                "$state_profile/build/$state_package"-$state_hash "$state_profile/build/$state_package"; do
                if [ -d "$state_unit" ]; then
                    state_count=$((state_count + 1))
                    mv "$state_unit" "$state_trash/$state_count"
                fi
            done
        done
    done
    rm -rf "$state_folder/trash"
}

# Add all packages to those whose state is removed.
state_all() {
    cp "$state_tmp/folders" "$state_tmp/stale"
}

state_add() {
    state_sort - "$state_tmp/stale" >"$state_tmp/more"
    mv "$state_tmp/more" "$state_tmp/stale"
}

# Changed files: code affects its package and those that read other packages, other files affect all.
state_judge_files() {
    state_differing "$state_old/manifest" "$state_tmp/manifest" >"$state_tmp/changed"
    [ -s "$state_tmp/changed" ] || return 0
    state_wide
    state_sort "$state_old/manifest" "$state_tmp/manifest" | state_with "$state_tmp/changed" - |
        awk -F'\t' '$2 != "d" && $1 !~ /\.rs$/' >"$state_tmp/far"
    state_owners "$state_tmp/folders" <"$state_tmp/changed" >"$state_tmp/owners"
    if [ -s "$state_tmp/far" ] || grep -qxF '*' "$state_tmp/owners"; then
        state_all
    else
        state_sort "$state_tmp/owners" "$state_tmp/wide" >"$state_tmp/stale"
    fi
}

# Changed names of files that were not uploaded: code that runs at compile time may list directories.
state_judge_absent() {
    if cmp -s "$state_old/absent" "$state_tmp/absent"; then return 0; fi
    state_wide
    state_add <"$state_tmp/running"
    state_add <"$state_tmp/wide"
}

# Changed variables: code that runs at compile time may read any of them, other code and dependencies only
# those whose name it contains. Cargo's configuration and arguments can set variables too.
state_judge_variables() {
    {
        LC_ALL=C comm -3 "$state_old/environment" "$state_tmp/environment" | sed 's/^\t//; s/=.*//'
        if ! cmp -s "$state_old/arguments" "$state_tmp/arguments"; then
            state_all
            cat "$state_old/arguments" "$state_tmp/arguments" | grep -aoE '[A-Z][A-Z0-9_]+' || :
        fi
        {
            grep -aE '(^|/)\.cargo/config(\.toml)?$' "$state_tmp/changed" | while IFS= read -r state_path; do
                cat "$state_work/$state_path" "$state_source/$state_path" 2>/dev/null || :
            done
            # Dependencies may read the files in its paths (`relative = true`).
            [ ! -s "$state_tmp/far" ] || cut -f1 "$state_tmp/manifest" | grep -aE '(^|/)\.cargo/config(\.toml)?$' |
                while IFS= read -r state_path; do
                    grep -ae relative "$state_source/$state_path" || :
                done
        } | grep -aoE '[A-Z][A-Z0-9_]+' || :
    } | state_sort >"$state_tmp/names"
    [ -s "$state_tmp/names" ] || return 0
    { state_code | (cd "$state_source" && xargs -0r grep -liF -Z -f "$state_tmp/names" --) || :; } | state_encode |
        sed 's|^\./||' | state_owners "$state_tmp/folders" >"$state_tmp/owners"
    if grep -qxF '*' "$state_tmp/owners"; then
        state_all
    else
        state_add <"$state_tmp/owners"
    fi
    state_add <"$state_tmp/running"
    while IFS= read -r state_name; do
        state_mentioning "$state_name" >>"$state_tmp/depending" || return 1
    done <"$state_tmp/names"
}

# Files that builds wrote into the sources: they are kept with unchanged packages, for the same commands.
state_judge_dirt() {
    state_listing >"$state_tmp/listing"
    state_differing "$state_old/listing" "$state_tmp/listing" | state_sort - "$state_old/dirt" >"$state_tmp/looked"
    state_describe "$state_work" <"$state_tmp/looked" >"$state_tmp/there"
    if [ -e "$state_folder/restored" ] && [ -s "$state_old/written" ]; then
        state_wide
        state_owners "$state_tmp/folders" <"$state_old/written" >"$state_tmp/owners"
        if grep -qxF '*' "$state_tmp/owners"; then state_all; fi
        state_sort "$state_tmp/owners" "$state_tmp/wide" | sed '/^\*$/d' | state_add
    fi
    state_with "$state_tmp/looked" "$state_old/manifest" >"$state_tmp/expected"
    state_differing "$state_tmp/expected" "$state_tmp/there" >"$state_tmp/dirt"
    [ -s "$state_tmp/dirt" ] || return 0
    state_wide
    state_owners "$state_tmp/folders" <"$state_tmp/dirt" >"$state_tmp/owners"
    local state_same=true
    cmp -s "$state_old/commands" "$state_tmp/commands" && [ -e "$state_old/done" ] || state_same=false
    if grep -qxF '*' "$state_tmp/owners"; then
        # The package that wrote it is unknown.
        if [ -s "$state_tmp/stale" ] || ! $state_same; then state_all; fi
    elif ! $state_same || LC_ALL=C comm -12 "$state_tmp/stale" "$state_tmp/wide" | grep -q .; then
        state_add <"$state_tmp/owners"
        state_add <"$state_tmp/wide"
    fi
}

# Make the working tree equal to the sources, except files that builds wrote into kept packages.
state_synchronize() {
    awk -F'\t' -v folders="$state_tmp/folders" -v stale="$state_tmp/stale" '
        BEGIN {
            while ((getline folder <folders) > 0) known[folder]
            while ((getline folder <stale) > 0) gone[folder]
        }
        {
            place = $1
            while (!(place in known) && place != ".")
                if (!sub(/\/[^\/]*$/, "", place)) place = "."
            if (place in known ? !(place in gone) : !whole) print $1
        }' whole="$(cmp -s "$state_tmp/stale" "$state_tmp/folders" && echo 1)" "$state_tmp/dirt" |
        state_sort >"$state_tmp/kept"
    # The existing and the expected files.
    { state_without "$state_tmp/dirt" "$state_old/manifest" && state_with "$state_tmp/dirt" "$state_tmp/there"; } |
        state_sort >"$state_tmp/have"
    { state_without "$state_tmp/kept" "$state_tmp/manifest" && state_with "$state_tmp/kept" "$state_tmp/there"; } |
        state_sort >"$state_tmp/want"
    LC_ALL=C comm -23 "$state_tmp/have" "$state_tmp/want" >"$state_tmp/surplus"
    LC_ALL=C comm -13 "$state_tmp/have" "$state_tmp/want" >"$state_tmp/missing"
    # A directory with only another mode keeps its content.
    awk -F'\t' '$2 == "d" { print $1 }' "$state_tmp/missing" | state_sort >"$state_tmp/folders.new"
    awk -F'\t' -v kept="$state_tmp/folders.new" '
        BEGIN { while ((getline folder <kept) > 0) known[folder] }
        $2 != "d" || !($1 in known) { print "./" $1 }' "$state_tmp/surplus" |
        state_decode | (cd "$state_work" && xargs -0r rm -rf --)
    cut -f1 "$state_tmp/missing" | sed 's|^|./|' | state_decode >"$state_tmp/copied"
    # New time stamps for all files.
    tar -C "$state_source" --null --no-recursion --hard-dereference -cf - -T "$state_tmp/copied" |
        tar -C "$state_work" --no-same-owner -xmpf -
}

# Record the inputs of the working tree and of everything compiled from now on.
state_record() {
    local state_new
    mkdir -p "$state_folder"
    state_new=$(mktemp -d "$state_folder/XXXXXX")
    state_listing >"$state_new/listing"
    cp "$state_tmp/kept" "$state_new/dirt"
    for state_name in manifest packages environment arguments commands absent; do
        cp "$state_tmp/$state_name" "$state_new/$state_name"
    done
    ln -sfn "${state_new##*/}" "$state_folder/next"
    mv -T "$state_folder/next" "$state_folder/current"
    rm -f "$state_folder/restored"
    find "$state_folder" -mindepth 1 -maxdepth 1 -type d ! -name mentions ! -path "$state_new" \
        -exec rm -rf {} +
}

# Remove all state, since its inputs are unknown.
state_reset() {
    rm -rf "$state_folder" "$state_target" "$state_work"
    mkdir -p "$state_work" "$state_tmp/none"
    state_old=$state_tmp/none
    for state_name in manifest listing dirt packages environment arguments commands absent; do
        : >"$state_old/$state_name"
    done
}

# Make the working tree of an archive, which has no sources: files that are the same as in its build are older
# than its results. The others are copied later. Files that builds wrote are lost with their packages' results.
state_restore() {
    rm -rf "$state_work.new" "$state_old/done"
    mkdir "$state_work.new"
    LC_ALL=C comm -12 "$state_old/manifest" "$state_tmp/manifest" | cut -f1 | sed 's|^|./|' |
        state_decode >"$state_tmp/same"
    tar -C "$state_source" --null --no-recursion --hard-dereference --mtime=@1 -cf - -T "$state_tmp/same" |
        tar -C "$state_work.new" --no-same-owner -xpf -
    touch "$state_folder/restored"
    mv -T "$state_work.new" "$state_work"
}

# state_enter PLACE: update the working tree from the sources, and change to a directory in it.
state_enter() {
    state_place=$1 state_old=$state_folder/current
    local state_file
    state_withdraw
    for state_file in manifest listing dirt packages environment arguments commands absent; do
        [ -e "$state_old/$state_file" ] || { state_reset && break; }
    done
    [ -e "$state_work" ] || [ -e "$state_old/written" ] || state_reset
    for state_file in changed far stale wide depending names dirt there kept; do : >"$state_tmp/$state_file"; done
    state_scan "$state_source" >"$state_tmp/manifest"
    state_compare
    [ -e "$state_work" ] || state_restore
    state_rows package | state_sort >"$state_tmp/packages"
    state_rows argument >"$state_tmp/arguments"
    sed -n '/^\(command\|word\)\t/p' "$state_plan" >"$state_tmp/commands"
    state_environment >"$state_tmp/environment"
    state_rows absent | while IFS= read -r state_file; do state_encode <"$state_file"; done | state_sort \
        >"$state_tmp/absent"
    state_sort "$state_old/packages" "$state_tmp/packages" >"$state_tmp/every"
    cut -f2 "$state_tmp/every" | state_sort >"$state_tmp/folders"
    awk -F'\t' '$3 == "runs" { print $2 }' "$state_tmp/every" | state_sort >"$state_tmp/running"
    state_judge_files
    state_judge_absent
    if ! state_judge_variables; then
        state_reset
    fi
    state_judge_dirt
    rm -f "$state_old/done"
    {
        cat "$state_tmp/depending"
        awk -F'\t' -v stale="$state_tmp/stale" '
            BEGIN { while ((getline folder <stale) > 0) gone[folder] }
            $2 in gone { print $1 }' "$state_tmp/every"
    } | state_sort | state_drop
    state_compilers
    state_synchronize
    state_record
    state_expose
    cd "$state_work/$state_place" || exit
}

# state_expose: create a stand-in for each file that was not uploaded.
state_expose() {
    [ -s "$state_tmp/absent" ] || return 0
    local state_kind
    if [ -s "$state_tmp/running" ] && ! state_observes; then
        echo "error: the file system of the engine does not record access times, and files were not uploaded" >&2
        exit 1
    fi
    # Names that a build wrote itself are left alone.
    sed 's/^[efx]\t//; s/^l\t\(.*\)\t.*/\1/' "$state_tmp/absent" | state_sort |
        state_missing >"$state_folder/exposed.new"
    sed -n 's|/[^/]*$||p' "$state_folder/exposed.new" | state_sort | state_above | state_missing \
        >"$state_folder/exposed.folders"
    mv "$state_folder/exposed.new" "$state_folder/exposed"
    state_each "$state_folder/exposed.folders" mkdir -p --
    for state_kind in e f x l; do
        sed -n "s/^$state_kind\t//p" "$state_tmp/absent" | state_sort |
            LC_ALL=C join -t $'\t' "$state_folder/exposed" - >"$state_tmp/exposing.$state_kind"
    done
    state_each "$state_tmp/exposing.e" touch --
    cat "$state_tmp/exposing.f" "$state_tmp/exposing.x" >"$state_tmp/exposing"
    state_each "$state_tmp/exposing" sh -c 'echo "a file that was not uploaded" | tee -- "$@" >/dev/null' sh
    state_each "$state_tmp/exposing.x" chmod a+x --
    while IFS=$'\t' read -r state_path state_target_of; do
        ln -s "$(state_plain "$state_target_of")" "$state_work/$(state_plain "$state_path")"
    done <"$state_tmp/exposing.l"
    state_each "$state_folder/exposed" touch -h -d @1 --
    touch "$state_tmp/exposed"
}

# state_each PATHS COMMAND...: run a command with encoded paths in the working tree as its arguments.
state_each() {
    sed 's|^|./|' "$1" | state_decode | (cd "$state_work" && xargs -0r "${@:2}")
}

state_plain() {
    printf '%s\n' "$1" | state_decode | tr -d '\0'
}

# state_missing: print the encoded paths on stdin that do not exist in the working tree.
state_missing() {
    # shellcheck disable=SC2016
    sed 's|^|./|' | state_decode | (cd "$state_work" && xargs -0r sh -c '
        for path; do [ -e "$path" ] || [ -L "$path" ] || printf "%s\0" "$path"; done' sh) |
        state_encode | sed 's|^\./||'
}

# state_above: print the encoded paths on stdin and all directories above them.
state_above() {
    awk '{ do if (!seen[$0]++) print; while (sub(/\/[^\/]*$/, "")) }' | state_sort
}

# state_observes: check that reading a file changes its access time.
state_observes() {
    echo read >"$state_folder/probe"
    touch -d @1 "$state_folder/probe"
    cat "$state_folder/probe" >"$state_tmp/probe"
    [ -n "$(find "$state_folder/probe" -newerat @1)" ]
}

# Fail if a stand-in was read. The project's packages are compiled again in the next build: what they have
# read is not what they would read in a complete checkout.
state_unread() {
    [ -e "$state_tmp/exposed" ] || return 0
    state_each "$state_folder/exposed" sh -c '
        find "$@" -maxdepth 0 -type f -size +0 -newerat @1 -print0 2>/dev/null || :' sh |
        state_encode | sed 's|^\./||' | state_sort >"$state_tmp/read"
    [ -s "$state_tmp/read" ] || return 0
    echo "error: the build read files that were not uploaded: $(state_named "$state_tmp/read")" >&2
    cut -f1 "$state_tmp/every" | state_sort | state_drop
    rm "$state_tmp/exposed"
    return 1
}

# Remove the stand-ins, except those that a build has written.
state_withdraw() {
    [ -e "$state_work" ] || rm -f "$state_folder"/exposed*
    [ -e "$state_folder/exposed" ] || return 0
    state_each "$state_folder/exposed" sh -c 'find "$@" -maxdepth 0 ! -type d ! -newermt @1 -delete 2>/dev/null || :' sh
    LC_ALL=C sort -r "$state_folder/exposed.folders" >"$state_tmp/folders.made"
    state_each "$state_tmp/folders.made" sh -c 'rmdir --ignore-fail-on-non-empty -- "$@" 2>/dev/null || :' sh
    rm -f "$state_folder"/exposed*
}

# At the end of the shell, also after a failed command.
state_leave() {
    local state_status=$?
    set +e
    if declare -F state_cache_close >/dev/null; then state_cache_close; fi
    state_unread || state_status=1
    state_withdraw
    rm -rf "$state_tmp"
    exit "$state_status"
}

# Record that everything since `state_enter` succeeded.
state_finish() {
    state_unread || exit 1
    state_listing >"$state_tmp/after"
    cat "$state_folder"/exposed* 2>/dev/null | state_sort >"$state_tmp/made" || :
    state_differing "$state_folder/current/listing" "$state_tmp/after" |
        state_sort - "$state_folder/current/dirt" | state_without "$state_tmp/made" - \
        >"$state_folder/current/written"
    touch "$state_folder/current/done"
}
