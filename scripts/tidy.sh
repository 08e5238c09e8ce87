#!/usr/bin/env bash
# tidy.sh: removes this service's images from this engine, but for the one that the
# service runs, the one it replaced, and any that a container still uses.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# local_id IMAGE: its id on this engine, whether it is named by id or by digest.
local_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

need_manager
unset was_known # This is about what runs now, not about what a deploy replaced.
remember_service
[[ -n $was_id ]] || fail "there is no service $SERVICE" 'create it: scripts/copyall.sh'
current=$(local_id "$was_image")
previous=$(local_id "${was_previous_image:-none}")
docker images --quiet --no-trunc --filter "label=copyall.service=$SERVICE" | sort -u | while read -r old; do
  if [[ $old = "$current" || $old = "$previous" ]]; then continue; fi
  if [[ -n $(docker ps --all --quiet --filter "ancestor=$old") ]]; then continue; fi
  # By its tags, as one that has some in two repositories cannot be removed by id.
  tags=$(docker image inspect --format '{{range .RepoTags}}{{println .}}{{end}}' "$old" 2>/dev/null || true)
  # shellcheck disable=SC2086 # one argument a tag
  if docker rmi ${tags:-"$old"} >/dev/null 2>&1; then say "Removed the old image $old"; fi
done
