#!/usr/bin/env bash
# service.sh: removes the service and creates it anew from the image that image.sh
# built. It does not wait until the new one answers: verify.sh does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

recreate() {
  if [[ -n $was_id ]]; then
    say "Removing $SERVICE $was_version"
    remove_at_once "$was_id"
  fi
  say "Creating $SERVICE $version: replicas $REPLICAS${published:+, $published}"
  create_service "$SERVICE" "$new" "$lines" --replicas "$REPLICAS" \
    --update-order "$order" --rollback-order "$order" "${labels[@]}"
}

# remove_at_once ID: an outage has begun, so nobody waits for requests in flight: the
# containers on this engine go at once. Those on other nodes must have gone before
# their successors can have a host-mode port.
remove_at_once() {
  docker service rm "$SERVICE" >/dev/null
  # The engine is removing them as well: whoever comes second finds nothing.
  containers_of "$SERVICE" | xargs docker rm --force >/dev/null 2>&1 || true
  if ((nodes > 1)); then wait_until_gone "$SERVICE" "$1"; fi
}

need_manager
start_clock
hold_lock
check_ours
# All that can be known is found out before the outage begins.
deploy_target
lines=$(wanted_arguments)
published=$(sed -n 's/^--publish //p' <<<"$lines")
order=$(update_order "$REPLICAS")
nodes=$(active_nodes)
deploy_labels --label "$new" "$version" "$new_sha256"
if [[ -n $was_replicas && $was_replicas != "$REPLICAS" ]]; then
  say "This changes the replicas of $SERVICE from $was_replicas to $REPLICAS"
fi
shielded recreate
if [[ -n $interrupted ]]; then exit 130; fi
