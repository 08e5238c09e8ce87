#!/bin/bash
# vm-init.sh: the first process of the virtual machine that vm.sh starts.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in virtio_net overlay bridge br_netfilter veth vxlan ip_vs ip_vs_rr xt_ipvs xt_conntrack xt_MASQUERADE iptable_nat; do
  modprobe "$module" || echo "vm-init: no module $module"
done
hostname swarm-manager-1
ip link set lo up
for interface in /sys/class/net/e*; do
  ip link set "${interface##*/}" up
  ip addr add 10.0.2.15/24 dev "${interface##*/}" # QEMU's own network
done
ip route add default via 10.0.2.2
echo 1 >/proc/sys/net/ipv4/ip_forward
# Only the loopback address of the host reaches this port.
exec dockerd --host tcp://0.0.0.0:2375 --host unix:///var/run/docker.sock --tls=false
