#!/usr/bin/env bash
# image.sh check|push IMAGE: push builds the image of accountservice for each processor, from
# the release in build/dist. It pushes them together as IMAGE:VERSION. VERSION is the tag that
# is checked out. check only checks whether push can work. BASE_IMAGE has the same meaning as
# for a deploy.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command=${1:-} image=${2:-}

fail() {
  printf 'error: %s\n       %s\n' "$1" "$2" >&2
  exit 1
}

[[ $command = check || $command = push ]] || fail "'$command' is neither check nor push" 'image.sh check|push IMAGE'
[[ -n $image ]] || fail 'no image is named' 'name it without a tag, as in IMAGE=registry.example/me/accountservice'
docker buildx version >/dev/null || fail 'docker has no buildx' 'install it: https://docs.docker.com/build/'
version=$(git describe --tags --exact-match) || fail 'no tag is checked out' 'make one, as in git tag v1.0.0, and check it out'
if [[ $command = check ]]; then exit; fi

context=build/image # dockerd may read this directory.
trap 'rm -rf "$context"' EXIT
images=()
for cpu in amd64 arm64; do
  printf '==> Building and pushing %s:%s for linux/%s\n' "$image" "$version" "$cpu"
  rm -rf "$context"
  mkdir -p "$context/rootfs/data"
  chmod 1777 "$context/rootfs/data" # The service's user writes to it.
  cp dockerfiles/* "$context"
  install -m 755 build/dist/accountservice_linux_"$cpu"_*/accountservice "$context/service"
  docker buildx build --platform "linux/$cpu" --provenance=false --push --tag "$image:$version-$cpu" \
    --file "$context/accountservice.Dockerfile" --build-arg "VERSION=$version" --build-arg "BASE_IMAGE=${BASE_IMAGE:-scratch}" "$context"
  images+=("$image:$version-$cpu")
done
docker buildx imagetools create --tag "$image:$version" "${images[@]}"
