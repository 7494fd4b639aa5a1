#!/bin/sh
# Install Debian packages, and remove the package lists.
set -eu
apt-get update -q
apt-get install -y --no-install-recommends "$@"
rm -rf /var/lib/apt/lists/*
