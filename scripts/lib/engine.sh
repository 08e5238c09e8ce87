#!/usr/bin/env bash
# engine.sh: the engine, its swarm, and where to reach it. Sourced by lib.sh.

need_command() {
  command -v "$1" >/dev/null || fail "$1 is not installed" "$2"
}

# need_engine: sets what the engine says of itself: swarm_state, swarm_control (true on
# a manager), swarm_node (this node's id) and swarm_address.
need_engine() {
  local said
  need_command docker 'install docker: https://docs.docker.com/engine/install/'
  said=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.Swarm.NodeID}} {{.Swarm.NodeAddr}}' 2>&1) ||
    fail 'the docker engine does not answer:' "$said" 'start it, or point DOCKER_HOST or the docker context to one'
  # shellcheck disable=SC2034 # some for the steps
  read -r swarm_state swarm_control swarm_node swarm_address <<<"$said"
}

# need_manager: this engine takes commands for a swarm.
need_manager() {
  need_engine
  case $swarm_state in
    active) ;;
    inactive) fail 'this engine is not part of a swarm' 'scripts/swarm.sh makes it the manager of a new one' ;;
    *) fail "this engine's part in its swarm is $swarm_state" 'docker info says more; a locked one wants docker swarm unlock' ;;
  esac
  [[ $swarm_control = true ]] || fail 'this engine is a worker of its swarm, not a manager' 'point DOCKER_HOST or the docker context to a manager'
}

# active_nodes: how many nodes can be given tasks.
active_nodes() { docker node ls --format '{{.Status}} {{.Availability}}' | grep -c '^Ready Active$' || true; }

# network_driver: the driver of NETWORK; nothing where there is no such network.
network_driver() { docker network inspect --format '{{.Driver}}' "$NETWORK" 2>/dev/null || true; }

# check_network: NETWORK is an overlay, or still to be created.
check_network() {
  local driver
  driver=$(network_driver)
  [[ -z $driver || $driver = overlay ]] || fail "network $NETWORK is there, but is of driver $driver, not overlay" \
    "choose another name with NETWORK, or remove it: docker network rm $NETWORK"
}

# manager_ip: the address to reach the swarm at from here.
manager_ip() {
  local endpoint
  if [[ -n $ManagerIP ]]; then
    echo "$ManagerIP"
    return
  fi
  endpoint=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
  case $endpoint in
    tcp://* | ssh://* | http://* | https://*)
      endpoint=${endpoint#*://}
      endpoint=${endpoint%%/*}
      endpoint=${endpoint##*@}
      case $endpoint in
        \[*) endpoint=${endpoint#\[} endpoint=${endpoint%%\]*} ;; # IPv6, with or without port
        *) endpoint=${endpoint%:*} ;;
      esac
      echo "$endpoint"
      ;;
    *)
      # A local engine. That of a Mac, or of Docker Desktop, is in a virtual machine
      # whose published ports are on this machine's loopback address.
      if [[ $(uname -s) = Darwin || $(docker info --format '{{.OperatingSystem}}') = *'Docker Desktop'* ]]; then
        echo 127.0.0.1
      else
        echo "$swarm_address"
      fi
      ;;
  esac
}

# url ADDRESS PORT PATH
url() {
  local address=$1
  if [[ $address = *:* ]]; then address="[$address]"; fi
  printf 'http://%s:%s%s\n' "$address" "$2" "$3"
}

# api_at_least MINOR: client and engine speak API 1.MINOR or newer.
api_at_least() {
  local version
  version=$(docker version --format '{{.Client.APIVersion}}')
  ((${version#*.} >= $1))
}
