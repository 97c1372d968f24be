#!/bin/sh
# What the tests need besides Go: a C compiler for the race detector, a Chromium for the console's journeys, and of Python an
# emulator of AWS and the AWS SDK, to be called as its users call. Finds them, or installs Debian's packages where it may and Python's into .venv; else says in a
# line what is missing and how to get it.
set -eu
cd "$(dirname "$0")/.."

missing=
if ! command -v "$(go env CC)" >/dev/null 2>&1; then
	missing="gcc libc6-dev"
fi
browser=
for c in "${HOMEOSTAT_CHROMIUM:-}" chromium chromium-browser google-chrome; do
	if [ -n "$c" ] && command -v "$c" >/dev/null 2>&1; then browser=$c; fi
done
[ -n "$browser" ] || missing="$missing chromium"
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"

if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing for the tests:$(printf ' %s' $missing)"
		apt-get update -qq >/dev/null
		# shellcheck disable=SC2086
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
	else
		echo "make test needs: $missing (on Debian: apt-get install $missing; a browser elsewhere: HOMEOSTAT_CHROMIUM=path)" >&2
		exit 1
	fi
fi

wanted=deploy/test-requirements.txt
if ! cmp -s "$wanted" .venv/installed.txt; then
	echo "installing for the tests: .venv with $(grep -v '^#' "$wanted" | tr '\n' ' ')"
	python3 -m venv --clear .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement "$wanted"
	cp "$wanted" .venv/installed.txt
fi
