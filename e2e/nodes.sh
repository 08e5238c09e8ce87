#!/bin/sh
# nodes.sh up|down: two more engines beside the one of engine.sh, each in a network
# namespace of its own: node2 is 192.168.99.102, with its cable node2 in the bridge nodes,
# node3 accordingly.
set -eu
here=$(dirname "$0")

start_node() {
  ip netns add "$1"
  ip link add "$1" type veth peer name eth0 netns "$1"
  ip link set "$1" master nodes up
  ip -n "$1" addr add "$2/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" link set lo up
  "$here/dockerd.sh" start "$1"
}

case ${1:-} in
  up)
    ip link add nodes type bridge
    ip link set nodes up
    ip link set eth0-peer master nodes
    # The engine of this namespace drops what it does not forward itself.
    iptables -I FORWARD -i nodes -o nodes -j ACCEPT
    start_node node2 192.168.99.102
    start_node node3 192.168.99.103
    ;;
  down)
    "$here/dockerd.sh" stop node2
    "$here/dockerd.sh" stop node3
    # A namespace goes when its last process has gone, so its cable is not left to it.
    for name in node2 node3; do
      ip link del "$name"
      ip netns del "$name"
    done
    ip link del nodes
    rm -rf /run/node2 /run/node3 # They would think that they are still in a swarm.
    ;;
  *)
    sed -n 's/^# //p' "$0"
    exit 2
    ;;
esac
