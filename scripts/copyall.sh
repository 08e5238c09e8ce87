#!/usr/bin/env bash
# copyall.sh: builds the service, removes and recreates it on the swarm, and proves
# that it answers. What can fail without touching the running service comes first.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# step NAME: runs scripts/NAME.sh and prints how many seconds it took.
step() {
  local TIMEFORMAT="    $1.sh: %1R s"
  # The time goes to stdout; the step's own stderr, by way of 3, stays what it is.
  { time "$scripts/$1.sh" 2>&3; } 3>&2 2>&1 || stop "$1"
}

stop() {
  printf 'error: %s.sh failed: %s\n' "$1" "$state" >&2
  exit 1
}

state="nothing was changed; if $SERVICE was running, it still is"
step preflight
step build
step image
step trial
start_clock
step swarm
step network
state="$SERVICE is not known to answer; the cause is above"
step service
step verify
step tidy
say "Deployed $SERVICE $VERSION in $SECONDS s"
