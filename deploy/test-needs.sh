#!/bin/sh
# What the tests need besides Go: a C compiler for the race detector, and a Chromium for the console's journeys. Finds them, or
# installs Debian's where it may; else says in a line what is missing and how to get it.
set -eu

missing=
if ! command -v "$(go env CC)" >/dev/null 2>&1; then
	missing="gcc libc6-dev"
fi
browser=
for c in "${HOMEOSTAT_CHROMIUM:-}" chromium chromium-browser google-chrome; do
	if [ -n "$c" ] && command -v "$c" >/dev/null 2>&1; then browser=$c; fi
done
[ -n "$browser" ] || missing="$missing chromium"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "installing for the tests:$(printf ' %s' $missing)"
	apt-get update -qq >/dev/null
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
	exit 0
fi
echo "make test needs: $missing (on Debian: apt-get install $missing; a browser elsewhere: HOMEOSTAT_CHROMIUM=path)" >&2
exit 1
