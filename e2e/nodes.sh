#!/bin/sh
# nodes.sh up|down: two more engines beside the one of engine.sh, each in a network
# namespace of its own, and a registry: node2 is 192.168.99.102, its engine's socket
# /run/node2/docker.sock, node3 accordingly; the registry is 192.168.99.100:5000.
set -eu

start_node() {
  dir=/run/$1
  mkdir -p "$dir"
  ip netns add "$1"
  ip link add "$1" type veth peer name eth0 netns "$1"
  ip link set "$1" master nodes up
  ip -n "$1" addr add "$2/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" link set lo up
  # As in engine.sh: a /sys of this namespace, with the control groups in it.
  # shellcheck disable=SC2016 # expanded inside
  nsenter --net="/run/netns/$1" unshare --mount --uts sh -c '
    hostname "$1"
    mount -t sysfs sysfs /sys
    mount --rbind /run/cgroup /sys/fs/cgroup
    echo 1 >/proc/sys/net/ipv4/ip_forward
    exec dockerd --config-file /run/daemon.json --data-root "$2/data" --exec-root "$2/exec" --pidfile "$2/pid" \
      --host "unix://$2/docker.sock" --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$E2E_CGROUP"
  ' sh "$1" "$dir" >"$dir/log" 2>&1 &
  tries=0
  until docker --host "unix://$dir/docker.sock" version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then
      tail -n 5 "$dir/log" >&2
      exit 1
    fi
    sleep 0.1
  done
}

start_registry() {
  mkdir -p /run/registry
  printf 'version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /run/registry\nhttp:\n  addr: 192.168.99.100:5000\n' >/run/registry.yml
  docker-registry serve /run/registry.yml >/run/registry.log 2>&1 &
  echo $! >/run/registry.pid
}

# stop PIDFILE: ends the process and waits until it has gone.
stop() {
  pid=$(cat "$1")
  kill "$pid"
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 300 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
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
    start_registry
    ;;
  down)
    stop /run/node2/pid
    stop /run/node3/pid
    stop /run/registry.pid
    ip netns del node2
    ip netns del node3
    ip link del nodes
    ;;
  *)
    sed -n 's/^# //p' "$0"
    exit 2
    ;;
esac
