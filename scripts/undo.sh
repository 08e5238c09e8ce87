#!/usr/bin/env bash
# undo.sh: the step of copyall.sh and rollback.sh that puts back what ran before a
# deploy that failed, with as much time again as the deploy had.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# update_back: after a rolling update it is still the same service, and the swarm may
# have put its image back already.
update_back() {
  if [[ $(service_image "$SERVICE") = "$was_image" ]]; then return; fi
  restored_labels --label-add
  update_service "$SERVICE" "$was_image" "$order" "${labels[@]}"
}

# stuck: a third of the time is gone, and not one task runs. A swarm can block itself:
# a task that waits to be restarted has the host-mode port that the old one needs.
stuck() {
  local patience=$((DEPLOY_TIMEOUT / 3 + 1))
  until service_runs; do
    ((patience-- > 0)) || return 0
    sleep 1
  done
  return 1
}

service_runs() { docker service ps --filter desired-state=running --format '{{.CurrentState}}' "$SERVICE" | grep '^Running ' >/dev/null; }

create_back() {
  if [[ -n $id ]]; then remove_service "$SERVICE"; fi
  restored_labels --label
  create_service "$SERVICE" "$was_image" "$was_arguments" --replicas "$was_replicas" \
    --update-order "$order" --rollback-order "$order" "${labels[@]}"
}

# remove_again: removes what this deploy has created, and nothing that somebody else has.
remove_again() {
  if ! service_exists "$SERVICE"; then return; fi
  [[ $(docker service inspect --format '{{index .Spec.Labels "copyall.image"}}' "$SERVICE") = "$new" ]] ||
    fail "the deploy of $SERVICE failed; the service of that name that is there now is somebody else's, and was left alone"
  say "Removing $SERVICE again: nothing ran before"
  remove_service "$SERVICE"
}

[[ -n ${was_known:-} ]] || fail 'undo.sh is a step of a deploy, and knows nothing outside one' 'to go back to the previous version: scripts/rollback.sh'
need_manager
unset DEPLOY_DEADLINE
start_clock
if [[ -z $was_id ]]; then
  deploy_target
  remove_again
  fail "the deploy of $SERVICE failed, and nothing of it is left"
fi
say "Going back to $SERVICE $was_version"
# Whatever ends this early, what serves is said last.
trap 'printf "error: the deploy of %s failed, and so did going back to %s: nothing answers\n" "$SERVICE" "$was_version" >&2' EXIT
as_published
order=$(update_order "$was_replicas")
id=$(docker service inspect --format '{{.ID}}' "$SERVICE" 2>/dev/null || true)
if [[ $id = "$was_id" ]]; then
  update_back
  if stuck; then
    say "No task of it gets to run: creating $SERVICE $was_version anew"
    create_back
  fi
else
  create_back
fi
prove_service "$SERVICE" || fail "$SERVICE $was_version does not do what it should, either" 'mend what the lines above say, and deploy again'
trap - EXIT
fail "the deploy of $SERVICE failed; version $was_version serves again"
