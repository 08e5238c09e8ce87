#!/bin/sh
# modern.sh build|client|run COMMAND...: today's docker engine and client, from Debian testing,
# in build/modern (needs root). build fetches them once, by debootstrap. client puts the client
# and its buildx plugin into /run/client and DOCKER_CONFIG. run runs a command that sees
# build/modern as /, with /dev, /etc/docker, /proc, /run and /sys of this mount namespace.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")/build/modern
packages=docker.io,docker-cli,docker-buildx,iptables,iproute2

build() {
  if [ -d "$root" ]; then return; fi
  echo "==> Fetching today's docker engine into build/modern (a minute, only once)"
  rm -rf "$root.new"
  mkdir -p "$root.new"
  # The mounts of debootstrap disappear with its namespace, even if it is killed.
  if ! timeout 900 unshare --mount --pid --fork --kill-child \
    debootstrap --variant=minbase "--include=$packages" testing "$root.new" >"$root.log" 2>&1; then
    echo "error: debootstrap failed; its last words, of those in $root.log:" >&2
    tail -n 3 "$root.log" >&2
    rm -rf "$root.new"
    exit 1
  fi
  rm -f "$root.new"/var/cache/apt/archives/*.deb
  mv "$root.new" "$root"
}

# client: these programs see this machine's files, but use the C library that they were built for.
client() {
  mkdir -p /run/client "$DOCKER_CONFIG/cli-plugins"
  wrap "$root/usr/bin/docker" /run/client/docker
  wrap "$root/usr/libexec/docker/cli-plugins/docker-buildx" "$DOCKER_CONFIG/cli-plugins/docker-buildx"
}

# wrap PROGRAM SCRIPT
wrap() {
  loader=$(find "$root/lib/" "$root/lib64/" -maxdepth 1 -name 'ld-linux*.so*' 2>/dev/null | head -n 1)
  cat >"$2" <<END
#!/bin/sh
exec "$loader" --library-path "$root/usr/lib/$(uname -m)-linux-gnu" --argv0 "${1##*/}" "$1" "\$@"
END
  chmod +x "$2"
}

# run: build/modern is read-only, so that an engine leaves no files there.
run() {
  mount --bind "$root" "$root"
  for dir in dev etc/docker proc run sys; do mount --rbind "/$dir" "$root/$dir"; done
  for dir in opt tmp var/lib; do mount -t tmpfs tmpfs "$root/$dir"; done
  mount -o remount,bind,ro "$root"
  cd "$root"
  pivot_root . . # The old root now lies on top of the new one.
  umount -l .
  cd /
  PATH=/usr/sbin:/usr/bin:/sbin:/bin exec "$@"
}

command=${1:-}
case $command in
  build | client | run)
    shift
    "$command" "$@"
    ;;
  *)
    sed -n '2,/^[^#]/s/^# //p' "$0"
    exit 2
    ;;
esac
