#!/bin/sh
# engine.sh COMMAND...: starts a docker engine, and runs a command beside it. The script is the
# first process of new network, mount and process namespaces. So the engine has its own socket,
# ports, bridges and mounts, and everything ends with the script. E2E_ENGINE chooses the engine:
# local is this machine's own; modern is the engine of modern.sh with the containerd image
# store; modern-classic is the same with the classic image store.
set -eu
here=$(dirname "$0")

# dockerd needs a /sys of this network namespace, with the control groups in it.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup

# The engines must read only files of the tests in /etc/docker: the certificates of registries.
mkdir -p /etc/docker
mount -t tmpfs -o mode=755 tmpfs /etc/docker

# One network address, and no connection to the outside.
ip link set lo up
ip link add eth0 type veth peer name eth0-peer
ip addr add 192.168.99.100/24 dev eth0
ip link set eth0 up
ip link set eth0-peer up
echo 1 >/proc/sys/net/ipv4/ip_forward

# The configuration of this machine's own engine, or of this user, is not used.
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
"$here/dockerd.sh" stop node1 || true # The engine ends with this process at the latest.
exit $status
