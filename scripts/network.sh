#!/usr/bin/env bash
# network.sh: creates the overlay network of the services where it is missing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

need_manager
check_network
if [[ -n $(network_driver) ]]; then
  say "Overlay network $NETWORK is there"
else
  say "Creating overlay network $NETWORK"
  said=$(docker network create --driver overlay "$NETWORK" 2>&1) || fail "network $NETWORK cannot be created:" "$said"
fi
