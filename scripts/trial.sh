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
  if [[ -n $LIMIT_CPU ]]; then arguments+=(--cpus "$LIMIT_CPU"); fi
  docker run "${arguments[@]}" "${confinement[@]}" "$1"
}

explain_trial() {
  say 'The last log lines of the trial:'
  docker logs --tail 10 "$container" 2>&1 | sed 's/^/    /'
  docker inspect --format '    exit code {{.State.ExitCode}}{{with .State.Error}}, {{.}}{{end}}{{with .State.Health}}{{range .Log}}{{with .Output}}
    health check: {{.}}{{end}}{{end}}{{end}}' "$container" | tail -n 3
}

say "Trying $image:$VERSION in a container without network"
need_engine
container=$SERVICE-trial-$$
id=$(built_image)
service_confinement
trap 'docker rm --force "$container" >/dev/null 2>&1 || true' EXIT
said=$(try_out "$id" 2>&1) || fail 'the new image does not start; the service was not touched:' "$said"
until=$(($(date +%s) + patience))
while health=$(docker inspect --format '{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}' "$container"); do
  case $health in
    'running healthy') exit 0 ;;
    'running ') fail "$image:$VERSION has no health check, so nothing can tell whether it works" "add a HEALTHCHECK to $DOCKERFILE" ;;
    'running starting' | created*)
      if (($(date +%s) < until)); then
        sleep 0.1
        continue
      fi
      reason="not healthy after $patience s"
      ;;
    *) reason=$health ;;
  esac
  explain_trial >&2
  fail "the new image fails its trial ($reason); the service was not touched" 'mend what the lines above say, and deploy again'
done
