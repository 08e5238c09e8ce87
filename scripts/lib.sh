#!/usr/bin/env bash
# lib.sh: what the steps share. Sourced, not run.

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$scripts")
# shellcheck source=scripts/settings.sh
source "$scripts/settings.sh"

say() { printf '==> %s\n' "$*"; }

# fail MESSAGE...: says what went wrong and what to do, a line each, and ends the step.
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  if (($# > 0)); then printf '       %s\n' "$@" >&2; fi
  exit 1
}

usage_error() {
  printf 'error: %s\n       see %s --help\n' "$1" "$0" >&2
  exit 2
}

# begin SCRIPT ARGUMENTS...: the start of every script, which takes settings from
# the environment and no arguments but --help.
begin() {
  local script=$1
  shift
  read_settings
  case ${1:-} in
    '') ;;
    -h | --help) help_of "$script"; exit 0 ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
  check_settings
  cd "$root" || exit
}

# help_of SCRIPT: the comment at its head, then the settings as they are now.
help_of() {
  local name _ meaning
  sed -n -e '2,/^[^#]/s/^# \{0,1\}//p' "$1"
  printf '\nSettings, as they are now; each is an environment variable:\n'
  while read -r name _ meaning; do
    printf '  %s=%s\n      %s\n' "$name" "${!name}" "$meaning"
  done < <(settings_table)
}

# start_clock: from here on, DEPLOY_TIMEOUT runs. A script that another one runs
# inherits its clock.
start_clock() {
  export DEPLOY_DEADLINE=${DEPLOY_DEADLINE:-$(($(date +%s) + DEPLOY_TIMEOUT))}
}

time_left() { (($(date +%s) < DEPLOY_DEADLINE)); }

# --- the engine and its swarm ---

need_command() {
  command -v "$1" >/dev/null || fail "$1 is not installed" "$2"
}

need_engine() {
  need_command docker 'install docker: https://docs.docker.com/engine/install/'
  local said
  said=$(docker version --format '{{.Server.Version}}' 2>&1) || fail 'the docker engine does not answer:' "$said" \
    'start it, or point DOCKER_HOST or the docker context to one'
}

swarm_state() { docker info --format '{{.Swarm.LocalNodeState}}'; }

# need_manager: this engine takes commands for a swarm.
need_manager() {
  need_engine
  local state
  state=$(swarm_state)
  [[ $state = active ]] || fail "this engine is not part of a swarm (its state: $state)" 'scripts/swarm.sh makes it the manager of a new one'
  [[ $(docker info --format '{{.Swarm.ControlAvailable}}') = true ]] || fail 'this engine is a worker of its swarm, not a manager' \
    'point DOCKER_HOST or the docker context to a manager'
}

# active_nodes: how many nodes can be given tasks.
active_nodes() { docker node ls --format '{{.Status}} {{.Availability}}' | grep -c '^Ready Active$' || true; }

# network_driver: the driver of NETWORK; nothing where there is no such network.
network_driver() { docker network inspect --format '{{.Driver}}' "$NETWORK" 2>/dev/null || true; }

# check_network: NETWORK is an overlay, or still to be created.
check_network() {
  local driver
  driver=$(network_driver)
  [[ -z $driver || $driver = overlay ]] || fail "network $NETWORK is there, but is of driver $driver, not overlay" \
    "choose another name with NETWORK, or remove it: docker network rm $NETWORK"
}

# manager_ip: the address to reach the swarm at from here.
manager_ip() {
  local endpoint
  if [[ -n $ManagerIP ]]; then
    echo "$ManagerIP"
    return
  fi
  endpoint=$(docker context inspect --format '{{.Endpoints.docker.Host}}')
  case $endpoint in
    tcp://* | ssh://* | http://* | https://*)
      endpoint=${endpoint#*://}
      endpoint=${endpoint%%/*}
      endpoint=${endpoint##*@}
      endpoint=${endpoint%:*}
      endpoint=${endpoint#[}
      echo "${endpoint%]}"
      ;;
    *)
      # A local engine. That of a Mac, or of Docker Desktop, is in a virtual machine
      # whose published ports are on this machine's loopback address.
      if [[ $(uname -s) = Darwin || $(docker info --format '{{.OperatingSystem}}') = *'Docker Desktop'* ]]; then
        echo 127.0.0.1
      else
        docker info --format '{{.Swarm.NodeAddr}}'
      fi
      ;;
  esac
}

# url ADDRESS PORT PATH
url() {
  local address=$1
  if [[ $address = *:* ]]; then address="[$address]"; fi
  printf 'http://%s:%s%s\n' "$address" "$2" "$3"
}

# service_urls NAME PORT PATH: where the service must answer. The routing mesh
# answers at any node; a host-mode port at each node that runs a task.
service_urls() {
  local node
  if [[ $PUBLISH_MODE = ingress ]]; then
    url "$(manager_ip)" "$2" "$3"
    return
  fi
  docker service ps --no-trunc --filter desired-state=running --quiet "$1" | while read -r node; do
    node=$(docker inspect --format '{{.NodeID}}' "$node")
    if [[ $node = "$(docker info --format '{{.Swarm.NodeID}}')" ]]; then
      url "$(manager_ip)" "$2" "$3"
    else
      url "$(docker node inspect --format '{{.Status.Addr}}' "$node")" "$2" "$3"
    fi
  done
}

# --- images ---

# built_image: the id of the image that image.sh built last for VERSION. An id is
# never looked up in a registry, as a tag would be at every start of a task.
built_image() {
  docker image inspect --format '{{.Id}}' "$image:$VERSION" 2>/dev/null || fail "this engine has no image $image:$VERSION" 'build it: scripts/build.sh, then scripts/image.sh'
}

# --- services ---

service_exists() { docker service inspect "$1" >/dev/null 2>&1; }

# service_label NAME LABEL
service_label() { docker service inspect --format "{{index .Spec.Labels \"$2\"}}" "$1"; }

service_image() { docker service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' "$1"; }

# create_service NAME IMAGE ARGUMENTS...: the one place that creates a service,
# with what every service gets: the network, a quick restart, time to finish what
# is in flight, logs that cannot fill the disk, and updates that roll back.
create_service() {
  local name=$1 image=$2
  shift 2
  local arguments=(
    --name "$name" --detach --no-resolve-image --network "$NETWORK"
    --restart-delay 500ms --stop-grace-period 20s
    --log-driver json-file --log-opt max-size=10m --log-opt max-file=3
    --update-failure-action rollback --update-parallelism 1
  )
  if [[ $PUBLISH_MODE = host ]]; then
    # A virtual IP needs IPVS, which is what host mode does without.
    arguments+=(--endpoint-mode dnsrr)
  fi
  docker service create "${arguments[@]}" "$@" "$image" >/dev/null
}

# remove_service NAME: removes it and waits until its tasks are gone. Nobody waits
# for requests in flight: its containers on this engine are killed at once. Removing
# them is left to the engine, which otherwise keeps its part of the network for good.
remove_service() {
  local id tasks
  id=$(docker service inspect --format '{{.ID}}' "$1")
  docker service rm "$1" >/dev/null
  # One may end on its own before it is killed.
  containers_of "$1" | xargs docker kill >/dev/null 2>&1 || true
  while tasks=$(tasks_left "$id") && [[ -n $tasks ]]; do
    time_left || fail "$1 is removed, but after $DEPLOY_TIMEOUT s tasks of it are still there:" "$tasks" \
      'look at the nodes that run them: docker node ls'
    sleep 0.1
  done
}

# containers_of NAME: the ids of a service's containers on this engine, stopped ones included.
containers_of() {
  docker ps --all --quiet --filter "label=com.docker.swarm.service.name=$1"
}

# tasks_left SERVICE_ID: the tasks of a removed service, which go by its id, on the
# nodes that can still be asked to end them.
tasks_left() {
  local nodes
  nodes=$(docker node ls --format '{{.ID}} {{.Status}}' | sed -n 's/ Ready$//p')
  # shellcheck disable=SC2086 # one argument a node
  docker node ps --no-trunc --format '{{.Name}} on {{.Node}}: {{.CurrentState}}' $nodes | grep "^$1\." || true
}

# wait_for_service NAME: waits until every replica runs the wanted image. A task
# that has a health check runs only once it is healthy. Returns 1 when time is up,
# or when tasks fail again and again.
wait_for_service() {
  local name=$1 wanted image tasks running failed
  wanted=$(docker service inspect --format '{{.Spec.Mode.Replicated.Replicas}}' "$name")
  image=$(service_image "$name")
  while time_left; do
    tasks=$(docker service ps --no-trunc --format '{{.DesiredState}} {{.Image}} {{.CurrentState}}' "$name")
    running=$(grep -c "^Running $image Running " <<<"$tasks" || true)
    failed=$(grep -cE "^[A-Za-z]+ $image (Failed|Rejected) " <<<"$tasks" || true)
    if ((running >= wanted)); then return; fi
    if ((failed >= 3 * wanted)); then
      say "Giving up: $failed tasks of $name failed"
      return 1
    fi
    sleep 0.1
  done
  say "Giving up after $DEPLOY_TIMEOUT s: $running of $wanted tasks of $name are running"
  return 1
}

# wait_for_answer URL [BODY]: waits until a GET answers 200, with this body where
# one is given. Returns 1 when time is up, and says what came last.
wait_for_answer() {
  local response
  while time_left; do
    # The body, a line feed, and the status (000 when there was no answer).
    response=$(curl --silent --show-error --noproxy '*' --max-time 2 --write-out '\n%{http_code}' "$1" 2>&1) || true
    if [[ ${response##*$'\n'} = 200 && (-z ${2:-} || ${response%$'\n'*} = "$2") ]]; then return; fi
    sleep 0.1
  done
  say "Giving up after $DEPLOY_TIMEOUT s: $1 last said: ${response//$'\n'/ }"
  return 1
}

# explain_failure NAME: why the tasks of a service fail, in the engine's own words.
explain_failure() {
  local task container
  say "The tasks of $1:"
  docker service ps --no-trunc --format '{{.Name}} on {{.Node}}: {{.CurrentState}} {{.Error}}' "$1" | sed -n '1,6s/^/    /p'
  for task in $(docker service ps --no-trunc --quiet "$1"); do
    container=$(docker inspect --format '{{with .Status.ContainerStatus}}{{.ContainerID}}{{end}}' "$task")
    if [[ -z $container ]]; then continue; fi
    say "The last log lines of task $task:"
    docker service logs --raw --tail 10 "$task" 2>&1 | sed 's/^/    /'
    # Known to this engine only if the task ran here.
    docker inspect --format '{{with .State}}    exit code {{.ExitCode}}{{with .Health}}{{range .Log}}{{with .Output}}
    health check: {{.}}{{end}}{{end}}{{end}}{{end}}' "$container" 2>/dev/null | tail -n 3 || true
    return
  done
}

# service_confinement: sets confinement to what docker run and docker service create
# both take, so that the trial is confined as the service is.
service_confinement() {
  local pair
  confinement=(--read-only --cap-drop ALL)
  for pair in $SERVICE_ENV; do confinement+=(--env "$pair"); done
}
