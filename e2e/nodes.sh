#!/bin/sh
# nodes.sh up N|down: N nodes. The first node is the engine of engine.sh. Each other node is an
# engine in its own network namespace: node2 is 192.168.99.102, with its cable node2 in the
# bridge nodes; node3 is 192.168.99.103, and so on.
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
    # The engine of this namespace drops packets that it does not forward itself.
    iptables -I FORWARD -i nodes -o nodes -j ACCEPT
    for n in $(seq 2 "$2"); do start_node "node$n" "192.168.99.10$n"; done
    ;;
  down)
    for dir in /run/node[2-9]; do
      name=${dir#/run/}
      "$here/dockerd.sh" stop "$name"
      # A namespace disappears only with its last process. So its cable is removed here.
      ip link del "$name"
      ip netns del "$name"
      rm -rf "$dir" # Otherwise a new engine there would think that it is in the old swarm.
    done
    ip link del nodes
    ;;
  *)
    sed -n 's/^# //p' "$0"
    exit 2
    ;;
esac
