#!/usr/bin/env bash
# service.sh: removes the service and creates it anew from the image that image.sh
# built. It does not wait until the new one answers: verify.sh does.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# update_order: start-first where a new task can run beside the old one; with a
# host-mode port it needs a node that has none yet.
update_order() {
  if [[ $PUBLISH_MODE = ingress ]] || ((REPLICAS < $(active_nodes))); then echo start-first; else echo stop-first; fi
}

# api_at_least MINOR: client and engine speak API 1.MINOR or newer.
api_at_least() {
  local version
  version=$(docker version --format '{{.Client.APIVersion}}')
  ((${version#*.} >= $1))
}

need_manager
start_clock
id=$(built_image)
previous_image='' previous_version='' running_version=''
if service_exists "$SERVICE"; then
  previous_image=$(service_image "$SERVICE")
  running_version=$(service_label "$SERVICE" copyall.version)
  previous_version=$running_version
  if [[ $previous_image = "$id" ]]; then
    # The same again: what it replaced at first is still the one to go back to.
    previous_image=$(service_label "$SERVICE" copyall.previous-image)
    previous_version=$(service_label "$SERVICE" copyall.previous-version)
  fi
fi

order=$(update_order)
service_confinement
arguments=(
  --replicas "$REPLICAS" --publish "mode=$PUBLISH_MODE,published=$PORT,target=$TARGET_PORT"
  --limit-memory "$LIMIT_MEMORY" "${confinement[@]}"
  --update-order "$order" --rollback-order "$order"
  --label "copyall.version=$VERSION"
  --label "copyall.previous-image=$previous_image" --label "copyall.previous-version=$previous_version"
)
if [[ -n $LIMIT_CPU ]]; then arguments+=(--limit-cpu "$LIMIT_CPU"); fi
if [[ -n $DATA_VOLUME ]]; then
  arguments+=(--mount "type=volume,source=$DATA_VOLUME,destination=/data")
else
  arguments+=(--mount "type=tmpfs,destination=/data,tmpfs-size=$TMPFS_SIZE,tmpfs-mode=1777")
fi
# A probe starts a process, so it is frequent only where that can end with the start.
if api_at_least 44; then
  arguments+=(--health-interval 5s --health-start-interval 200ms --health-start-period 10s)
else
  arguments+=(--health-interval 1s --health-start-period 10s)
fi

if service_exists "$SERVICE"; then
  say "Removing $SERVICE $running_version"
  remove_service "$SERVICE"
fi
say "Creating $SERVICE $VERSION: $REPLICAS replicas, port $PORT, $PUBLISH_MODE mode"
create_service "$SERVICE" "$id" "${arguments[@]}"
