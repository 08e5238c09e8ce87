#!/usr/bin/env bash
# preflight.sh: checks, without changing anything, that a deploy can work here: the
# tools, the engine, its swarm, the network and the port.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# check_port_free: no other service publishes the port.
check_port_free() {
  local services ports other
  services=$(docker service ls --quiet) || fail 'docker service ls fails'
  if [[ -z $services ]]; then return; fi
  # shellcheck disable=SC2086 # one argument a service
  ports=$(docker service inspect --format '{{.Spec.Name}} {{range .Endpoint.Ports}}:{{.PublishedPort}}/{{.Protocol}}:{{end}}' $services) ||
    fail 'which ports the services publish cannot be told: docker service inspect fails'
  other=$(sed -n "/:$PORT\/tcp:/s/ .*//p" <<<"$ports" | grep -vx "$SERVICE" || true)
  [[ -z $other ]] || fail "port $PORT is published by service $other" \
    "choose another with PORT, or remove that service: docker service rm $other"
}

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
need_command curl 'install it with the package manager of this system'
[[ -f $DOCKERFILE ]] || fail "there is no Dockerfile $DOCKERFILE" 'name the one of this service with DOCKERFILE'
need_engine
check_network
nodes=1
if [[ $swarm_state != inactive ]]; then
  need_manager
  nodes=$(active_nodes)
  check_port_free
fi
check_nodes "$nodes"
check_registry "$nodes"
