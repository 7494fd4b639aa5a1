#!/bin/sh
# Make the files that an empty base lacks, time zones and /tmp, in /system.
set -eu
apt-get update -q
apt-get install -y --no-install-recommends tzdata
mkdir -p /system/usr/share /system/tmp
chmod 1777 /system/tmp
cp -a /usr/share/zoneinfo /system/usr/share/
rm -rf /system/usr/share/zoneinfo/posix /system/usr/share/zoneinfo/right
find /system -depth -exec touch --no-dereference --date=@0 {} +
