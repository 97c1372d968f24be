#!/bin/sh
# The console's journeys are tested in a real browser. Finds a Chromium, or installs Debian's where it may.
set -eu
for c in "${HOMEOSTAT_CHROMIUM:-}" chromium chromium-browser google-chrome; do
	[ -n "$c" ] && command -v "$c" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing chromium for the console's tests"
	apt-get update -qq >/dev/null
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
	exit 0
fi
echo "make test needs a Chromium for the console's tests: apt-get install chromium, or set HOMEOSTAT_CHROMIUM to a browser's path" >&2
exit 1
