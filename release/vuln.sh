#!/usr/bin/env bash
# vuln.sh PROGRAM@VERSION: runs govulncheck on both modules. If its database cannot be reached,
# the script says that it did not run.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."
database=${GOVULNDB:-https://vuln.go.dev}
GOBIN=$PWD/build go install "$1"
for module in . deploy; do
  printf '==> Looking for known vulnerabilities in %s\n' "$(cd "$module" && go list -m)"
  status=0
  said=$(build/govulncheck -C "$module" -db "$database" ./... 2>&1) || status=$?
  if [[ $status != 0 && $said = *'fetching vulnerabilities: '* ]]; then
    printf 'not run: govulncheck, as its database %s cannot be reached\n' "$database"
    exit
  fi
  printf '%s\n' "$said"
  if ((status != 0)); then exit "$status"; fi
done
