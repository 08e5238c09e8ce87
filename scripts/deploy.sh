#!/usr/bin/env bash
# deploy.sh COMMAND...: builds the deploy program if its source has changed, and runs it on
# stack.yml. The other scripts are short names for its commands. --help says more.
set -euo pipefail
unset CDPATH # With it, cd prints the directory.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if ! command -v go >/dev/null; then
  printf 'error: go is not installed\n       install Go: https://go.dev/doc/install\n' >&2
  exit 1
fi
# The flags and the profile are those of the service, so Go's own packages are compiled only
# once for both. GOARCH is a setting of the service. The deploy program runs on this machine.
profile=$root/accountservice/default.pgo
if [[ ! -e $profile ]]; then profile=off; fi
if [[ ! -e $root/build/deploy ]]; then printf '==> Building the deploy program\n' >&2; fi
env -u GOOS -u GOARCH CGO_ENABLED=0 go build -C "$root/deploy" -trimpath -pgo="$profile" -o ../build/deploy .
STACK_FILE=${STACK_FILE:-$root/stack.yml} exec "$root/build/deploy" "$@"
