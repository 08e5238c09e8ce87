#!/usr/bin/env bash
# vm.sh build|up|down: a virtual machine with its own docker engine. Its kernel has IPVS, which
# the routing mesh needs (Debian trixie, its kernel and docker.io). It needs qemu-system-x86,
# debootstrap, and root for build. It is emulated, so it is slow and takes some minutes. When it
# is up, its engine is tcp://127.0.0.2:2375, and its ports 6767, 8080 and 6969 are ports of
# 127.0.0.2.
set -euo pipefail
unset CDPATH
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
vm=$(dirname "$here")/build/vm
address=127.0.0.2
packages=docker.io,iptables,kmod,iproute2,ca-certificates,procps,udev,linux-image-cloud-amd64

say() { printf '==> %s\n' "$*"; }

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

build() {
  if [[ -f $vm/initrd ]]; then return; fi
  say "Building the virtual machine's file system (a minute or two)"
  mkdir -p "$vm"
  rm -rf "$vm/rootfs"
  debootstrap --variant=minbase "--include=$packages" trixie "$vm/rootfs" >"$vm/debootstrap.log" 2>&1 ||
    fail "debootstrap failed: see $vm/debootstrap.log"
  cp "$vm"/rootfs/boot/vmlinuz-* "$vm/vmlinuz"
  cp "$vm"/rootfs/boot/initrd.img-* "$vm/initrd"
}

up() {
  local forward="hostfwd=tcp:$address" patience=300
  [[ -f $vm/initrd ]] || fail "there is no virtual machine to start: $0 build"
  install -m 755 "$here/vm-init.sh" "$vm/rootfs/sbin/vm-init"
  rm -f "$vm/disk"
  mkfs.ext4 -q -F -d "$vm/rootfs" "$vm/disk" 4G
  # Without cx16: QEMU 7.2 emulates cmpxchg16b in a way that crashes Linux 6.12 on two
  # emulated processors.
  setsid qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -cpu qemu64,-cx16 -m 3072 -nographic -no-reboot \
    -kernel "$vm/vmlinuz" -initrd "$vm/initrd" -append 'console=ttyS0 quiet root=/dev/vda rw init=/sbin/vm-init' \
    -drive "file=$vm/disk,if=virtio,format=raw" -device virtio-net-pci,netdev=net \
    -netdev "user,id=net,$forward:2375-:2375,$forward:6767-:6767,$forward:8080-:8080,$forward:6969-:6969" >"$vm/log" 2>&1 </dev/null &
  echo $! >"$vm/pid"
  say "Starting the virtual machine"
  until docker --host "tcp://$address:2375" version >/dev/null 2>&1; do
    kill -0 "$(cat "$vm/pid")" 2>/dev/null || fail "the virtual machine ended: see $vm/log"
    ((patience-- > 0)) || fail "the virtual machine is not up after 5 minutes: see $vm/log"
    sleep 1
  done
}

down() {
  if [[ ! -f $vm/pid ]]; then return; fi
  kill "$(cat "$vm/pid")" 2>/dev/null || true
  rm -f "$vm/pid" "$vm/disk"
}

case ${1:-} in
  build | up | down) "$1" ;;
  *)
    sed -n '2,/^[^#]/s/^# //p' "$0"
    exit 2
    ;;
esac
