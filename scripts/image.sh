#!/usr/bin/env bash
# image.sh: wraps the binary that build.sh made in an image, tagged latest and VERSION.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# base_image: BASE_IMAGE where this engine has it or can pull it.
base_image() {
  if [[ $BASE_IMAGE = scratch ]] || docker image inspect "$BASE_IMAGE" >/dev/null 2>&1 ||
    docker pull --quiet "$BASE_IMAGE" >/dev/null 2>&1; then
    echo "$BASE_IMAGE"
  else
    say "$BASE_IMAGE cannot be pulled: using scratch, which a static binary can do with (BASE_IMAGE=scratch saves the try)" >&2
    echo scratch
  fi
}

binary=build/$SERVICE-linux-$GOARCH
say "Building image $image:$VERSION"
need_engine
[[ -f $binary ]] || fail "there is no binary $binary" 'build it: scripts/build.sh'

# The context holds just what goes in: the binary, and an empty directory that the
# Dockerfile gives to the service's user.
mkdir -p build
context=$(mktemp -d "$root/build/image.XXXXXX") # Where every docker client may read.
trap 'rm -rf "$context"' EXIT
mkdir "$context/rootfs"
mkdir -m 1777 "$context/rootfs/data"
cp "$binary" "$context/service"
chmod 755 "$context/rootfs" "$context/service" # Whatever the umask: the service's user runs it.

base=$(base_image)
base_id=$(if [[ $base != scratch ]]; then docker image inspect --format '{{.Id}}' "$base"; fi)
# What the image is made of, as its own id changes with the builder's cache.
sha256=$({ sha256 <"$binary" && sha256 <"$DOCKERFILE" && echo "$base $base_id"; } | sha256)
arguments=(
  --quiet --platform "linux/$GOARCH" --file "$DOCKERFILE"
  --tag "$image:latest" --tag "$image:$VERSION"
  --build-arg "BASE_IMAGE=$base" --build-arg "VERSION=$VERSION" --build-arg "SERVICE=$SERVICE"
  --label "copyall.service=$SERVICE" --label "copyall.sha256=$sha256"
)
said=$(docker build "${arguments[@]}" "$context" 2>&1) ||
  fail "docker build of $image failed:" "$said" 'a service that runs already goes on running the old version'
