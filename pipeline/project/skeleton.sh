#!/bin/sh
# Make empty files: skeleton.sh TOP NAMES
#   TOP    the directory to make them in
#   NAMES  a file with a name on each line
set -eu
cd "$1"
# xargs splits long lists of names; `--` allows names that begin with a dash.
tr '\n' '\0' <"$2" | xargs -0r dirname -z -- | xargs -0r mkdir -p --
tr '\n' '\0' <"$2" | xargs -0r touch --
