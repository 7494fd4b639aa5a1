#!/bin/sh
# Run rustc, which links programs for the triples in the file beside this one statically.
while IFS= read -r triple; do
    case " $* " in *" --target $triple "*) set -- "$@" -C target-feature=+crt-static ;; esac
done <"$0.triples"
exec rustc "$@"
