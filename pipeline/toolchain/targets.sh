#!/bin/sh
# Install the standard libraries of targets. A builder without rustup is a custom one, which has all of them.
set -eu
! command -v rustup || rustup target add "$@"
