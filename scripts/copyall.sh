#!/usr/bin/env bash
# copyall.sh [--rolling] [--force]: builds the service, removes and recreates it on the
# swarm, and proves that it answers. What can fail without touching the running service
# comes first; what fails later is undone.
#   --rolling   update the running service without losing a request, where it can be
#   --force     also if the same runs already
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

unset holder was_known DEPLOY_DEADLINE TARGET_IMAGE TARGET_ARGUMENTS # They are for the steps, not for the caller.
mode=service force=
while [[ ${1:-} = --rolling || ${1:-} = --force ]]; do
  if [[ $1 = --rolling ]]; then mode=rolling; else force=yes; fi
  shift
done
begin "$0" "$@"
export FORCE=$force MODE=$mode

# step NAME: one that touches nothing that runs.
step() {
  timed "$1" || fail "$1.sh failed: $untouched"
}

interruptible
step preflight
hold_lock
if [[ -z $was_id ]]; then mode=service; fi
check_ours
if [[ $mode = rolling ]]; then
  check_has_replicas
  check_same_settings
fi
step build
step image
if runs_already && [[ -z $force ]]; then
  if [[ $mode = rolling ]]; then
    say "$SERVICE $was_version runs already, built from the same: nothing to deploy (--force deploys all the same)"
    start_clock
    timed verify
    exit
  fi
  say "$SERVICE $was_version runs already, built from the same: no trial needed"
else
  step trial
fi
if [[ -n $REGISTRY ]]; then step push; fi
start_clock
step swarm
if [[ $swarm_state = inactive ]]; then
  untouched='this engine is the manager of a swarm now, and nothing else was changed'
  hold_lock
fi

shielded change_to "$mode"
if [[ -n $interrupted ]]; then
  say "Deployed $SERVICE $VERSION all the same: it was too late to stop"
  exit 130
fi
say "Deployed $SERVICE $VERSION in $SECONDS s"
