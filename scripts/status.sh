#!/usr/bin/env bash
# status.sh: all services of the swarm on one screen: version, replicas wanted, running
# and healthy, nodes, age of the first running task, URL, and the last error.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"

# count_tasks NAME: sets running, healthy, nodes, age and error from the service's tasks. A
# task runs only once it is healthy; one that fell ill since then is known to the
# engine that runs it, so healthy is exact for this engine's tasks.
count_tasks() {
  local tasks ill
  tasks=$(docker service ps --no-trunc --format '{{.DesiredState}} {{.Node}} {{.CurrentState}}' "$1")
  running=$(grep -cE '^Running [^ ]+ Running ' <<<"$tasks" || true)
  ill=$(docker ps --quiet --filter "label=com.docker.swarm.service.name=$1" --filter health=unhealthy | grep -c . || true)
  healthy=$((running > ill ? running - ill : 0))
  nodes=$(sed -nE 's/^Running ([^ ]+) Running .*/\1/p' <<<"$tasks" | sort -u | paste -s -d , -)
  age=$(sed -nE 's/^Running [^ ]+ Running (.*) ago$/\1/p' <<<"$tasks" | sed -n 1p)
  error=$(last_error "$1")
}

# last_error NAME: the youngest error of all tasks, which are listed replica by replica.
last_error() {
  local tasks
  tasks=$(docker service ps --no-trunc --quiet "$1")
  if [[ -z $tasks ]]; then return; fi
  # shellcheck disable=SC2086 # one argument a task
  docker inspect --format '{{.Status.Timestamp}}|{{.Status.Err}}' $tasks | sort | sed -n 's/^[^|]*|\(..*\)/\1/p' | tail -n 1
}

need_manager
services=$(docker service ls --format '{{.Name}}')
if [[ -z $services ]]; then
  say 'No services run in this swarm'
  exit 0
fi
row='%-18s %-27s %6s %7s %7s  %-20s %-16s %s\n'
# shellcheck disable=SC2059 # the row is the format
printf "$row" SERVICE VERSION WANTED RUNNING HEALTHY NODES AGE URL
for name in $services; do
  IFS='|' read -r version wanted < <(docker service inspect --format \
    '{{index .Spec.Labels "copyall.version"}}|{{with .Spec.Mode.Replicated}}{{.Replicas}}{{else}}all{{end}}' "$name")
  count_tasks "$name"
  address=$(service_urls "$name" '' | paste -s -d ' ' -) || true # None can be told while no task has a node.
  # shellcheck disable=SC2059
  printf "$row" "$name" "${version:--}" "$wanted" "$running" "$healthy" "${nodes:--}" "${age:--}" "${address:--}"
  if [[ -n $error ]]; then printf '    last error: %s\n' "$error"; fi
done
