#!/usr/bin/env bash
# verify.sh: waits until all replicas of the service run, and it answers as it
# should; if it does not, says why.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# explain_silence: every task is healthy, and the port answers wrongly or not at all.
explain_silence() {
  explain_failure "$SERVICE"
  if [[ $PUBLISH_MODE = ingress ]]; then
    fail "the tasks of $SERVICE are healthy, but $1 does not answer as it should" \
      "if nothing answers at all, the kernel most likely has no IPVS, which the routing mesh needs:" \
      "deploy with PUBLISH_MODE=host. If something else answers, set ManagerIP to an address of the swarm."
  fi
  fail "the tasks of $SERVICE are healthy, but $1 does not answer as it should" \
    'look for a firewall on the way, and set ManagerIP to an address of the swarm that this machine reaches'
}

need_manager
start_clock
service_exists "$SERVICE" || fail "there is no service $SERVICE" 'create it: scripts/copyall.sh'
say "Waiting for $SERVICE"
if ! wait_for_service "$SERVICE" >&2; then
  explain_failure "$SERVICE" >&2
  fail "$SERVICE does not run" 'mend what the lines above say, and deploy again'
fi
urls=$(service_urls "$SERVICE" "$PORT" "$VERIFY_PATH")
for url in $urls; do
  wait_for_answer "$url" "$VERIFY_BODY" >&2 || explain_silence "$url" >&2
  say "$SERVICE answers: $url"
done
