#!/usr/bin/env bash
# swarm.sh: makes this engine the manager of a new swarm where it is in none.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

need_engine
if [[ $swarm_state = inactive ]]; then
  say "Making this engine the manager of a new swarm"
  arguments=()
  if [[ -n $ADVERTISE_ADDR ]]; then arguments=(--advertise-addr "$ADVERTISE_ADDR"); fi
  # The engine names the addresses where it cannot choose between several.
  said=$(docker swarm init ${arguments[@]+"${arguments[@]}"} 2>&1) || fail 'docker swarm init failed:' "$said" \
    'choose the address that other nodes reach this one at: ADVERTISE_ADDR=... scripts/swarm.sh'
fi
need_manager
say "The swarm's manager is at $swarm_address"
