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
# GOARCH is a setting of what is deployed; the program runs here.
env -u GOOS -u GOARCH go build -C "$root/deploy" -o ../build/deploy .
STACK_FILE=${STACK_FILE:-$root/stack.yml} exec "$root/build/deploy" "$@"
