#!/usr/bin/env bash
# preflight.sh: checks, without changing anything, that a deploy can work here: the
# tools, the engine, its swarm, the network and the port.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# check_port_free: no other service publishes the port.
check_port_free() {
  local services other
  services=$(docker service ls --quiet)
  if [[ -z $services ]]; then return; fi
  # shellcheck disable=SC2086 # one argument a service
  other=$(docker service inspect --format '{{.Spec.Name}} {{range .Endpoint.Ports}}:{{.PublishedPort}}/{{.Protocol}}:{{end}}' $services |
    sed -n "/:$PORT\/tcp:/s/ .*//p" | grep -vx "$SERVICE" || true)
  [[ -z $other ]] || fail "port $PORT is published by service $other" \
    "choose another with PORT, or remove that service: docker service rm $other"
}

# check_nodes: a host-mode port can be had once a node.
check_nodes() {
  local nodes
  nodes=$(active_nodes)
  [[ $PUBLISH_MODE = ingress ]] || ((REPLICAS <= nodes)) ||
    fail "REPLICAS=$REPLICAS tasks cannot all have port $PORT on $nodes nodes with PUBLISH_MODE=host" \
      'ask for fewer, add nodes, or use PUBLISH_MODE=ingress'
}

say "Checking that $SERVICE can be deployed"
need_command go 'install Go: https://go.dev/doc/install'
need_command curl 'install it with the package manager of this system'
[[ -f $DOCKERFILE ]] || fail "there is no Dockerfile $DOCKERFILE" 'name the one of this service with DOCKERFILE'
need_engine
check_network
if [[ $(swarm_state) != inactive ]]; then
  need_manager
  check_port_free
  check_nodes
fi
