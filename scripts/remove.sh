#!/usr/bin/env bash
# remove.sh: removes the service, waits until its tasks are gone, then removes its
# network, unless another service uses it. Images and volumes stay.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# network_users: the names of the services on the network.
network_users() {
  local services id
  services=$(docker service ls --quiet)
  if [[ -z $services ]]; then return; fi
  id=$(docker network inspect --format '{{.ID}}' "$NETWORK")
  # shellcheck disable=SC2086 # one argument a service
  docker service inspect --format '{{.Spec.Name}} {{range .Spec.TaskTemplate.Networks}}{{.Target}} {{end}}' $services |
    sed -n "/ $id /s/ .*//p"
}

remove_network() {
  local driver users said
  driver=$(network_driver)
  users=
  if [[ $driver = overlay ]]; then users=$(network_users); fi
  case $driver:$users in
    '':) say "There is no network $NETWORK" ;;
    overlay:)
      say "Removing network $NETWORK"
      # It is in use until the last task's end has come through.
      until said=$(docker network rm "$NETWORK" 2>&1); do
        time_left || fail "network $NETWORK cannot be removed:" "$said"
        sleep 0.2
      done
      ;;
    overlay:*) say "Network $NETWORK stays, as other services use it: ${users//$newline/, }" ;;
    *) say "Network $NETWORK stays: it is of driver $driver, and not of these scripts" ;;
  esac
}

need_manager
start_clock
hold_lock
check_ours
if service_exists "$SERVICE"; then
  say "Removing $SERVICE"
  remove_service "$SERVICE"
else
  say "There is no service $SERVICE"
fi
remove_network
