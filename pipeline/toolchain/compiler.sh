#!/bin/sh
# Run the command in the file beside this one, a word on each line, with the arguments.
# zig has no flag for static-pie.
count=$#
while IFS= read -r word; do set -- "$@" "$word"; done <"$0.command"
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    [ "$argument" != -static-pie ] || argument=-pie
    set -- "$@" "$argument"
    count=$((count - 1))
done
exec "$@"
