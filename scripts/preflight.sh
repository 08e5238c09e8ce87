#!/usr/bin/env bash
# preflight.sh: checks, without changing anything, that a deploy can work here: the
# tools, the engine, its swarm, the network and the port.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# check_nodes: a host-mode port can be had once a node. A rolling update leaves the
# number of replicas as it is.
check_nodes() {
  local nodes=1
  if [[ $PUBLISH_MODE = ingress || ${MODE:-} = rolling ]]; then return; fi
  if [[ $swarm_state != inactive ]]; then nodes=$(active_nodes); fi
  ((REPLICAS <= nodes)) ||
    fail "REPLICAS=$REPLICAS tasks cannot all have port $PORT on $nodes nodes with PUBLISH_MODE=host" \
      'ask for fewer, add nodes, or use PUBLISH_MODE=ingress'
}

# check_registry: other nodes cannot run an image that only this engine has. Those that
# are down or drained now may be given tasks later.
check_registry() {
  local nodes
  if [[ -n $REGISTRY || $swarm_state = inactive ]]; then return; fi
  nodes=$(docker node ls --quiet | grep -c .)
  ((nodes == 1)) || fail "this swarm has $nodes nodes, and only this one will have the image" \
    'name a registry that all nodes pull from: REGISTRY=host:port'
}

say "Checking that $SERVICE can be deployed"
need_command go 'install Go: https://go.dev/doc/install'
[[ -f $DOCKERFILE ]] || fail "there is no Dockerfile $DOCKERFILE" 'name the one of this service with DOCKERFILE'
check_swarm PORT
check_nodes
check_registry
