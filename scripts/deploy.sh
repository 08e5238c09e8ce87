#!/usr/bin/env bash
# deploy.sh COMMAND...: builds the deploy program where it has changed, and runs it on
# stack.yml. The other scripts are short names for its commands; --help says more.
set -euo pipefail
unset CDPATH # It would make cd print where it went.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if ! command -v go >/dev/null; then
  printf 'error: go is not installed\n       install Go: https://go.dev/doc/install\n' >&2
  exit 1
fi
# With the flags and the profile that the service is compiled with, Go's own packages are
# compiled once for both. GOARCH is a setting of the service; the program runs here.
profile=$root/accountservice/default.pgo
if [[ ! -e $profile ]]; then profile=off; fi
env -u GOOS -u GOARCH CGO_ENABLED=0 go build -C "$root/deploy" -trimpath -pgo="$profile" -o ../build/deploy .
STACK_FILE=${STACK_FILE:-$root/stack.yml} exec "$root/build/deploy" "$@"
