#!/usr/bin/env bash
# trial.sh: runs the image just built in a container of its own, as confined as the
# service and without network, until it is healthy. The service is not touched.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# How long the trial may take to become healthy, in seconds.
patience=30

try_out() {
  local arguments=(
    --detach --name "$container" --network none
    --health-interval 200ms --health-start-period "${patience}s"
    --tmpfs "/data:size=$TMPFS_SIZE,mode=1777" --memory "$LIMIT_MEMORY"
  )
  # Without it, an engine that knows of it probes each 5 s during the start period.
  if api_at_least 44; then arguments+=(--health-start-interval 200ms); fi
  if [[ -n $LIMIT_CPU ]]; then arguments+=(--cpus "$LIMIT_CPU"); fi
  add_arguments < <(confinement)
  docker run "${arguments[@]}" "$image:$VERSION"
}

explain_trial() {
  say 'The last log lines of the trial:'
  docker logs --tail 10 "$container" 2>&1 | sed 's/^/    /'
  docker inspect --format "$state_format" "$container" | sed '/^$/d' | tail -n 3
}

say "Trying $image:$VERSION in a container without network"
need_engine
docker image inspect "$image:$VERSION" >/dev/null 2>&1 || fail "this engine has no image $image:$VERSION" 'make it: scripts/build.sh, then scripts/image.sh'
container=$SERVICE-trial-$$
trap 'docker rm --force "$container" >/dev/null 2>&1 || true' EXIT
said=$(try_out 2>&1) || fail 'the new image does not start; the service was not touched:' "$said"
until=$(($(date +%s) + patience))
healthy_until=''
while :; do
  health=$(docker inspect --format '{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}' "$container" 2>&1) ||
    fail 'the trial cannot be looked at; the service was not touched:' "$health"
  now=$(date +%s)
  case $health in
    'running healthy')
      : "${healthy_until:=$((now + TRIAL_SECONDS))}"
      if ((now >= healthy_until)); then exit 0; fi
      ;;
    'running starting' | created*)
      if ((now >= until)); then break; fi
      ;;
    *) break ;;
  esac
  sleep 0.1
done
explain_trial >&2 || true # What it cannot find out must not hide what is known.
if [[ $health = 'running ' ]]; then
  fail "$image:$VERSION has no health check, so nothing can tell whether it works" "add a HEALTHCHECK to $DOCKERFILE"
fi
fail "the new image fails its trial (its state: $health); the service was not touched" 'mend what the lines above say, and deploy again'
