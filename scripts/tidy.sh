#!/usr/bin/env bash
# tidy.sh: removes this service's images from this engine, but for the one that the
# service runs, the one it replaced, and any that a container still uses.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

need_manager
service_exists "$SERVICE" || fail "there is no service $SERVICE" 'create it: scripts/copyall.sh'
current=$(service_image "$SERVICE")
previous=$(service_label "$SERVICE" copyall.previous-image)
docker images --quiet --no-trunc --filter "label=copyall.service=$SERVICE" | sort -u | while read -r old; do
  if [[ $old = "$current" || $old = "$previous" ]]; then continue; fi
  # Without force, the engine refuses where a container uses it.
  if docker rmi "$old" >/dev/null 2>&1; then say "Removed the old image $old"; fi
done
