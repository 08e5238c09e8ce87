#!/bin/sh
# dockerd.sh start|stop|kill NODE: start starts the engine of a node and waits until it
# answers. stop and kill end it, by SIGTERM or by SIGKILL, and wait until it has ended. node1
# is the engine of engine.sh, with docker's default socket. Any other node runs in the network
# namespace of its name, with the socket /run/NODE/docker.sock. With E2E_CPU, as in i686, the
# engine sees a processor of that kind.
set -eu
command=${1:-} node=${2:-node1}
dir=/run/$node
socket=$dir/docker.sock
if [ "$node" = node1 ]; then socket=/var/run/docker.sock; fi

start() {
  mkdir -p "$dir"
  if [ "$node" = node1 ]; then
    "$0" run node1 >>"$dir/log" 2>&1 &
  else
    nsenter --net="/run/netns/$node" unshare --mount --uts "$0" run "$node" >>"$dir/log" 2>&1 &
  fi
  engine=$!
  tries=0
  until docker --host "unix://$socket" version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if ! kill -0 $engine 2>/dev/null || [ $tries -gt 300 ]; then
      echo "error: the engine of $node does not start; its last words:" >&2
      tail -n 5 "$dir/log" >&2
      exit 1
    fi
    sleep 0.1
  done
}

# run replaces this process with the engine.
run() {
  if [ "$node" != node1 ]; then
    hostname "$node"
    # As in engine.sh: a /sys of this namespace, with the control groups in it.
    mount -t sysfs sysfs /sys
    mount --rbind /run/cgroup /sys/fs/cgroup
    echo 1 >/proc/sys/net/ipv4/ip_forward
  fi
  set -- dockerd --config-file /run/daemon.json --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
    --host "unix://$socket" --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$E2E_CGROUP"
  if [ -n "${E2E_CPU:-}" ]; then set -- setarch "$E2E_CPU" "$@"; fi
  case ${E2E_ENGINE:-local} in
    local) exec "$@" ;;
    *) exec unshare --mount "$(dirname "$0")/modern.sh" run "$@" ;;
  esac
}

# end SIGNAL
end() {
  pid=$(cat "$dir/pid")
  kill "-$1" "$pid" 2>/dev/null || return 0 # The engine has ended already.
  tries=0
  while kill -0 "$pid" 2>/dev/null; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ]; then
      echo "error: the engine of $node does not end" >&2
      exit 1
    fi
    sleep 0.1
  done
}

case $command in
  start | run) "$command" ;;
  stop) end TERM ;;
  kill) end KILL ;;
  *)
    sed -n 's/^# //p' "$0"
    exit 2
    ;;
esac
