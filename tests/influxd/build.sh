#!/bin/sh
# Builds InfluxDB 2 from source into the user's cache, where the tests look for it. `make influxd` runs this.
#
# Go fetches the sources by the checksums in go.sum beside this file. No web UI: that is not part of the sources.
# Nothing is written but the result, what Go and Cargo keep in their own caches, and a temporary folder.
set -eu
VERSION=2.8.0
HERE=$(cd "$(dirname "$0")" && pwd)
PLACE=${TOKENSWARM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tokenswarm}/influxd-$VERSION

if [ -x "$PLACE/influxd" ]; then
    echo "influxd $VERSION is there: $PLACE/influxd"
    exit 0
fi

lacking() {
    echo "make influxd: $1; or install InfluxDB 2 in another way: the tests take any influxd on the PATH, or INFLUXDB_URL" >&2
    exit 2
}
command -v go >/dev/null || lacking "no go on the PATH: install Go 1.24 or newer (https://go.dev/dl)"
GO=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || lacking "go does not run: \`go version\` says why"
[ "$(printf 'go1.24\n%s\n' "$GO" | sort -V | head -n 1)" = go1.24 ] || lacking "$GO is too old: install Go 1.24 or newer (https://go.dev/dl)"
for program in rustc cargo; do
    command -v $program >/dev/null || lacking "no $program on the PATH: install Rust (https://rustup.rs)"
done
CC=$(go env CC)
command -v "${CC%% *}" >/dev/null || lacking "no C compiler: CC is '$CC', which is not on the PATH; install gcc or clang"
command -v pkg-config >/dev/null || lacking "no pkg-config on the PATH: install pkg-config or pkgconf"
# The library asks rustup for a compiler of 2023, with targets for Windows and macOS; the user's own one does.
if command -v rustup >/dev/null && [ -z "${RUSTUP_TOOLCHAIN:-}" ]; then
    RUSTUP_TOOLCHAIN=$(cd / && rustup show active-toolchain 2>/dev/null | cut -d ' ' -f 1)
    [ -n "$RUSTUP_TOOLCHAIN" ] || lacking "rustup has no toolchain: run \`rustup default stable\`"
    export RUSTUP_TOOLCHAIN
fi
(cd / && rustc --version >/dev/null 2>&1 && cargo --version >/dev/null 2>&1) || lacking "rustc or cargo does not run: \`rustc --version\` and \`cargo --version\` say why"

echo "building influxd $VERSION from source, once, into $PLACE"
echo "  some 5 minutes on two cores; fetches 0.3 GB and leaves 3 GB in the caches of Go and Cargo (\`go clean -cache -modcache\` frees them)"
mkdir -p "$PLACE"
WORK=$(mktemp -d "$PLACE/.build.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM HUP

cd "$HERE"
export CGO_ENABLED=1 GOWORK=off GOFLAGS="-mod=readonly -buildvcs=false" RUSTC_WRAPPER="$HERE/rustc.sh"
unset GOOS GOARCH RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR CARGO_BUILD_TARGET 2>/dev/null || true
CGO_ENABLED=0 go build -o "$WORK/pkg-config" github.com/influxdata/pkg-config
PKG_CONFIG="$WORK/pkg-config" go build -tags sqlite_foreign_keys,sqlite_json \
    -ldflags "-s -w -X main.version=v$VERSION -X main.commit=source" \
    -o "$WORK/influxd" github.com/influxdata/influxdb/v2/cmd/influxd
"$WORK/influxd" version
mv "$WORK/influxd" "$PLACE/influxd"
echo "built: $PLACE/influxd"
