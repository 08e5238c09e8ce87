#!/usr/bin/env bash
# push.sh: pushes the image to REGISTRY, from where every node pulls the same bytes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

[[ -n $REGISTRY ]] || fail 'there is no registry to push to' 'name one: REGISTRY=host:port'
need_engine
say "Pushing $REGISTRY/$image:$VERSION"
docker tag "$image:$VERSION" "$REGISTRY/$image:$VERSION"
said=$(docker push "$REGISTRY/$image:$VERSION" 2>&1) || fail "docker push to $REGISTRY failed:" "$said" \
  'log in with docker login, or look at whether the engine may use that registry'
