#!/usr/bin/env bash
# preflight.sh: checks, without changing anything, that a deploy can work here: the
# tools, the engine, its swarm, the network and the port.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# check_nodes NODES: a host-mode port can be had once a node.
check_nodes() {
  [[ $PUBLISH_MODE = ingress ]] || ((REPLICAS <= $1)) ||
    fail "REPLICAS=$REPLICAS tasks cannot all have port $PORT on $1 nodes with PUBLISH_MODE=host" \
      'ask for fewer, add nodes, or use PUBLISH_MODE=ingress'
}

# check_registry NODES: other nodes cannot run an image that only this engine has.
check_registry() {
  [[ -n $REGISTRY ]] || (($1 <= 1)) || fail "this swarm has $1 nodes, and only this one will have the image" \
    'name a registry that all nodes pull from: REGISTRY=host:port'
}

say "Checking that $SERVICE can be deployed"
need_command go 'install Go: https://go.dev/doc/install'
[[ -f $DOCKERFILE ]] || fail "there is no Dockerfile $DOCKERFILE" 'name the one of this service with DOCKERFILE'
check_swarm PORT
nodes=1
if [[ $swarm_state != inactive ]]; then
  nodes=$(active_nodes)
fi
check_nodes "$nodes"
check_registry "$nodes"
