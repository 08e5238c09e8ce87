#!/bin/sh
# engine.sh COMMAND...: runs a command beside a docker engine of its own. It is the
# first process of new network, mount and process namespaces, so that the engine's
# socket, ports, bridges and mounts are nobody else's, and all of it ends with it.
set -eu

# dockerd needs a /sys of this network namespace, with the control groups in it.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup

# One network address, and no way out.
ip link set lo up
ip link add eth0 type veth peer name eth0-peer
ip addr add 192.168.99.100/24 dev eth0
ip link set eth0 up
ip link set eth0-peer up
echo 1 >/proc/sys/net/ipv4/ip_forward

# No configuration of this machine's own engine, or of this user, gets in.
echo '{"insecure-registries": ["192.168.99.0/24"]}' >/run/daemon.json
export DOCKER_CONFIG=/run/docker-config
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
dockerd --config-file /run/daemon.json --data-root /run/docker-data --exec-root /run/docker \
  --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$E2E_CGROUP" >/run/dockerd.log 2>&1 &
engine=$!
tries=0
until docker version >/dev/null 2>&1; do
  tries=$((tries + 1))
  if ! kill -0 $engine 2>/dev/null || [ $tries -gt 300 ]; then
    echo 'error: dockerd does not start; its last words:' >&2
    tail -n 5 /run/dockerd.log >&2
    exit 1
  fi
  sleep 0.1
done

status=0
"$@" || status=$?
kill $engine
wait $engine || true
exit $status
