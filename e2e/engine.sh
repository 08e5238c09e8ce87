#!/bin/sh
# engine.sh COMMAND...: runs a command beside a docker engine of its own. It is the
# first process of new network, mount and process namespaces, so that the engine's
# socket, ports, bridges and mounts are nobody else's, and all of it ends with it.
# E2E_ENGINE says which engine: local, this machine's own; modern, that of modern.sh with
# the containerd image store; modern-classic, the same with the classic image store.
set -eu
here=$(dirname "$0")

# dockerd needs a /sys of this network namespace, with the control groups in it.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup

# What engines read in /etc/docker is the tests': the certificates of registries.
mkdir -p /etc/docker
mount -t tmpfs -o mode=755 tmpfs /etc/docker

# One network address, and no way out.
ip link set lo up
ip link add eth0 type veth peer name eth0-peer
ip addr add 192.168.99.100/24 dev eth0
ip link set eth0 up
ip link set eth0-peer up
echo 1 >/proc/sys/net/ipv4/ip_forward

# No configuration of this machine's own engine, or of this user, gets in.
export DOCKER_CONFIG=/run/docker-config
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH DOCKER_API_VERSION
features=''
case ${E2E_ENGINE:-local} in
  modern) features=', "features": {"containerd-snapshotter": true}' ;;
  modern-classic) features=', "features": {"containerd-snapshotter": false}' ;;
esac
echo "{\"insecure-registries\": [\"192.168.99.100:5000\"]$features}" >/run/daemon.json
if [ -n "$features" ]; then
  "$here/modern.sh" client
  export PATH="/run/client:$PATH"
fi

"$here/dockerd.sh" start node1
echo "==> e2e: testing with $(docker version --format 'docker engine {{.Server.Version}} and client {{.Client.Version}}'), image store $(docker info --format '{{.Driver}}')"

status=0
"$@" || status=$?
"$here/dockerd.sh" stop node1 || true # It ends with this process at the latest.
exit $status
