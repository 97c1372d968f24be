#!/bin/sh
# Builds the release binaries for Linux twice, the second time from a copy of the tree elsewhere and with an empty build
# cache, and ends with an error unless the two are equal byte by byte.
set -eu
version=$1
commit=$(git rev-parse HEAD)
top=$(git rev-parse --show-toplevel)
copy=$(mktemp -d)
trap 'chmod -R u+w "$copy"; rm -rf "$copy"' EXIT
git -C "$top" archive "$commit" | (mkdir "$copy/src" && tar -x -C "$copy/src")

build() { # folder, output
	for arch in amd64 arm64; do
		(cd "$1" && CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false \
			-ldflags "-s -w -buildid= -X main.version=$version" -o "$2/homeostat-linux-$arch" ./cmd/homeostat)
	done
}

rm -rf "$top/dist" && mkdir "$top/dist"
(cd "$copy/src" && build . "$top/dist")
mkdir "$copy/again" "$copy/elsewhere" && cp -R "$copy/src" "$copy/elsewhere/src"
GOCACHE="$copy/cache" && export GOCACHE
(cd "$copy/elsewhere/src" && build . "$copy/again")
for f in "$top"/dist/*; do
	cmp "$f" "$copy/again/$(basename "$f")"
done
(cd "$top/dist" && sha256sum homeostat-* >SHA256SUMS && cat SHA256SUMS)
