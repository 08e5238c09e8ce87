#!/usr/bin/env bash
# verify.sh: waits until all replicas of the service run, and it answers as it should;
# if it does not, says why.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

need_manager
start_clock
service_exists "$SERVICE" || fail "there is no service $SERVICE" 'create it: scripts/copyall.sh'
say "Waiting for $SERVICE"
prove_service "$SERVICE" || fail "$SERVICE does not do what it should" 'mend what the lines above say, and deploy again'
