#!/usr/bin/env bash
# build.sh: compiles PACKAGE to a static linux binary, build/SERVICE-linux-GOARCH. The
# same source, version and Go give the same bytes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

binary=build/$SERVICE-linux-$GOARCH
say "Building $PACKAGE $VERSION for linux-$GOARCH"
need_command go 'install Go: https://go.dev/doc/install'
new=$binary.$$ # Somebody else may be building, too.
trap 'rm -f "$new"' EXIT
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
if ! CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false \
  -ldflags "-s -w -X main.version=$VERSION -X main.commit=$commit" -o "$new" "$PACKAGE"; then
  rm -f "$binary" # Nothing stale is left to ship.
  fail "go build $PACKAGE failed; a service that runs already goes on running the old version" 'mend what the compiler says above'
fi
mv "$new" "$binary"
