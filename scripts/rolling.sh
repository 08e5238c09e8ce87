#!/usr/bin/env bash
# rolling.sh: updates the running service to the image that image.sh built, one task at
# a time. The swarm itself goes back where a new task fails; then this explains why and
# exits 1. It does not prove the answer: verify.sh does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# wait_for_update: until the swarm says that the update is complete. Returns 1 where it
# stops or goes back, or time is up.
wait_for_update() {
  local state
  while time_left; do
    state=$(docker service inspect --format '{{with .UpdateStatus}}{{.State}}{{end}}' "$SERVICE")
    case $state in
      completed) return ;;
      rollback_* | paused)
        say "The swarm gave the update up (its state: $state)"
        return 1
        ;;
    esac
    sleep 0.2
  done
  say "Giving up after $DEPLOY_TIMEOUT s: the update is not complete"
  return 1
}

need_manager
start_clock
hold_lock
[[ -n $was_id ]] || fail "there is no service $SERVICE to update" 'create it: scripts/copyall.sh'
check_ours
check_has_replicas
deploy_target
as_published
order=$(update_order "$was_replicas")
deploy_labels --label-add "$new" "$version" "$new_sha256"
force=()
# Without it the swarm sees nothing to do for an image that runs already.
if [[ -n ${FORCE:-} || $new = "$was_image" ]]; then force=(--force); fi
say "Updating $SERVICE from $was_version to $version, one of $was_replicas replicas at a time, $order"
if [[ $order = stop-first ]]; then
  say "With a host-mode port and no node to spare, the old task must stop before the new one starts: expect an outage"
elif [[ $PUBLISH_MODE = host ]]; then
  say "With a host-mode port, the new task starts on another node: the old one's address falls silent"
fi
update_service "$SERVICE" "$new" "$order" "${labels[@]}" ${force[@]+"${force[@]}"}
if ! wait_for_update; then
  explain_failure "$SERVICE" "$new" >&2 || true
  fail "the update of $SERVICE to $version failed"
fi
