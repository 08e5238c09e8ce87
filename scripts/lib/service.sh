#!/usr/bin/env bash
# service.sh: services: the one place that creates one, the one that waits for one,
# and the one that explains why one fails. Sourced by lib.sh.

# common_arguments: what every service is created with, an argument a line: a quick
# restart, time to finish what is in flight, logs that cannot fill the disk, and
# updates that roll back.
common_arguments() {
  # A virtual IP needs IPVS, which is what host mode does without.
  if [[ $PUBLISH_MODE = host ]]; then echo '--endpoint-mode dnsrr'; fi
  cat <<'ARGUMENTS'
--restart-delay 500ms
--stop-grace-period 20s
--log-driver json-file
--log-opt max-size=10m
--log-opt max-file=3
--update-failure-action rollback
--update-parallelism 1
--update-monitor 5s
ARGUMENTS
}

# create_service NAME IMAGE ARGUMENTS MORE...: ARGUMENTS has one a line, and is kept
# as a label, so that the service can be created as it was, and compared; MORE goes to
# docker as it is.
create_service() {
  local name=$1 image=$2 lines=$3 said
  shift 3
  local arguments=(--name "$name" --detach --label "copyall.arguments=$lines")
  add_arguments <<<"$lines"
  said=$(docker service create "${arguments[@]}" "${image_arguments[@]}" "$@" "$image" 2>&1) ||
    fail "service $name cannot be created:" "$said" 'mend what the engine says, and deploy again'
}

# add_arguments: adds those on stdin, one a line, to the caller's arguments.
add_arguments() {
  local flag value
  while read -r flag value; do
    arguments+=("$flag")
    if [[ -n $value ]]; then arguments+=("$value"); fi
  done
}

# update_service NAME IMAGE ORDER MORE...: starts an update of the image, and does not
# wait for it. MORE goes to docker as it is.
update_service() {
  local name=$1 image=$2 order=$3
  shift 3
  docker service update --detach "${image_arguments[@]}" --image "$image" "$@" \
    --update-order "$order" --rollback-order "$order" "$name" >/dev/null
}

# An image is deployed by its id or digest, which needs no looking up. Other nodes
# need this one's credentials to pull it.
image_arguments=(--no-resolve-image --with-registry-auth)

service_exists() { docker service inspect "$1" >/dev/null 2>&1; }

service_image() { docker service inspect --format '{{.Spec.TaskTemplate.ContainerSpec.Image}}' "$1"; }

# containers_of NAME: the ids of a service's containers on this engine, stopped ones included.
containers_of() {
  docker ps --all --quiet --filter "label=com.docker.swarm.service.name=$1"
}

# running_tasks NAME: the ids of the tasks that are to run, one a replica.
running_tasks() { docker service ps --no-trunc --filter desired-state=running --quiet "$1"; }

# wait_until_gone NAME ID: waits until the tasks of a removed service are gone.
wait_until_gone() {
  local tasks
  while :; do
    tasks=$(tasks_left "$2") || fail "whether tasks of $1 are left cannot be told: docker node ps fails"
    if [[ -z $tasks ]]; then return; fi
    time_left || fail "$1 is removed, but after $DEPLOY_TIMEOUT s tasks of it are still there:" "$tasks" \
      'look at the nodes that run them: docker node ls'
    sleep 0.1
  done
}

# tasks_left ID: the tasks of a removed service, which go by its id, on the nodes that
# can still be asked to end them.
tasks_left() {
  local nodes tasks
  nodes=$(docker node ls --format '{{.ID}} {{.Status}}') || return
  nodes=$(sed -n 's/ Ready$//p' <<<"$nodes")
  # shellcheck disable=SC2086 # one argument a node
  tasks=$(docker node ps --no-trunc --format '{{.Name}} on {{.Node}}: {{.CurrentState}}' $nodes) || return
  grep "^$1\." <<<"$tasks" || true
}

# wait_for_service NAME: waits until every replica runs the wanted image, and no task
# another one. A task that has a health check runs only once it is healthy. Returns 1
# when time is up, or when tasks fail again and again: three a replica meanwhile.
wait_for_service() {
  local name=$1 wanted image tasks running other failed='' failures before=''
  wanted=$(docker service inspect --format '{{.Spec.Mode.Replicated.Replicas}}' "$name") || return 1
  image=$(service_image "$name") || return 1
  while :; do
    tasks=$(docker service ps --no-trunc --format '{{.DesiredState}} {{.Image}} {{.CurrentState}} {{.ID}}' "$name")
    running=$(grep -c "^Running $image Running " <<<"$tasks" || true)
    other=$(grep '^Running ' <<<"$tasks" | grep -vc "^Running $image " || true)
    # The swarm forgets old tasks, so those that failed are noted here, by their ids.
    failed=$({ sed -nE "s|^[A-Za-z]+ $image (Failed\|Rejected) .* ||p" <<<"$tasks" && echo "$failed"; } | sort -u)
    failures=$(grep -c . <<<"$failed" || true)
    : "${before:=$failures}"
    if ! time_left; then break; fi
    if ((running >= wanted && other == 0)); then return; fi
    if ((failures - before >= 3 * wanted)); then
      say "Giving up: $((failures - before)) tasks of $name failed"
      return 1
    fi
    sleep 0.1
  done
  say "Giving up after $DEPLOY_TIMEOUT s: $running of $wanted tasks of $name are running"
  return 1
}

# answers URL [BODY]: a GET answers 200, with this body where one is given; sets response.
answers() {
  # The body, a line feed, and the status (000 when there was no answer).
  response=$(curl --globoff --silent --show-error --noproxy '*' --max-time 2 --write-out '\n%{http_code}' "$1" 2>&1) || true
  [[ ${response##*"$newline"} = 200 && (-z ${2:-} || ${response%"$newline"*} = "$2") ]]
}

# wait_for_answer URL [BODY]: returns 1 when time is up, and says what came last.
wait_for_answer() {
  response=nothing
  while time_left; do
    if answers "$@"; then return; fi
    sleep 0.1
  done
  say "Giving up after $DEPLOY_TIMEOUT s: $1 last said: ${response//$newline/ }"
  return 1
}

# service_urls NAME PATH: where the service must answer; nothing where it publishes no
# port. The routing mesh answers at any node; a host-mode port at each node that runs a
# task. Returns 1 where that cannot be told, as while there is no such task.
service_urls() {
  local ports mode port manager tasks task node address
  ports=$(docker service inspect --format '{{range .Spec.EndpointSpec.Ports}}{{.PublishMode}} {{.PublishedPort}}{{"\n"}}{{end}}' "$1") || return
  if [[ -z $ports ]]; then return; fi
  read -r mode port <<<"$ports"
  manager=$(manager_ip) || return
  if [[ $mode = ingress ]]; then
    url "$manager" "$port" "$2"
    return
  fi
  tasks=$(running_tasks "$1") || return
  for task in $tasks; do
    node=$(docker inspect --format '{{.NodeID}}' "$task") || return
    if [[ $node = "$swarm_node" ]]; then
      address=$manager
    else
      address=$(docker node inspect --format '{{.Status.Addr}}' "$node") || return
    fi
    url "$address" "$port" "$2"
  done
  [[ -n $tasks ]]
}

# stays_up NAME: no task ends for TRIAL_SECONDS. It stands in for the answer of a service
# that publishes no port.
stays_up() {
  local tasks until
  until=$(($(date +%s) + TRIAL_SECONDS))
  tasks=$(running_tasks "$1") || return
  while (($(date +%s) < until)); do
    if [[ $(running_tasks "$1") != "$tasks" ]]; then
      say "A task of $1 ended as soon as it ran"
      return 1
    fi
    sleep 0.2
  done
}

# prove_service NAME: waits until the service runs and answers as it should at each of
# its URLs. Returns 1 where it does not, and explains why.
prove_service() {
  local addresses address
  while wait_for_service "$1" >&2; do
    if ! addresses=$(service_urls "$1" "$VERIFY_PATH"); then
      sleep 0.1
      continue # A task that ends at this moment has no URL: then it is all to be waited for again.
    fi
    if [[ -z $addresses ]] && ! stays_up "$1" >&2; then
      break
    fi
    for address in $addresses; do
      if ! wait_for_answer "$address" "$VERIFY_BODY" >&2; then
        explain_failure "$1" >&2 || true
        explain_silence "$1" "$address" >&2
        return 1
      fi
      say "$1 answers: $address"
    done
    return
  done
  explain_failure "$1" >&2 || true
  return 1
}

# state_format: the last health checks of a container, and how it ended.
state_format='{{with .State}}{{with .Health}}{{range .Log}}{{with .Output}}    health check: {{.}}{{"\n"}}{{end}}{{end}}{{end}}
{{if not .Running}}    exit code {{.ExitCode}}{{with .Error}}, {{.}}{{end}}{{end}}{{end}}'

# explain_failure NAME [IMAGE]: why the tasks of a service, or only those of an image,
# fail, in the engine's own words. Called with || true: what it cannot find out must not
# hide what else is to be said.
explain_failure() {
  local tasks task container
  tasks=$(docker service ps --no-trunc --format '{{.Image}} {{.ID}} {{.Name}} on {{.Node}}: {{.CurrentState}} {{.Error}}' "$1" |
    grep "^${2:-}" | sed 's/^[^ ]* //')
  say "The tasks of $1:"
  sed -n '1,6s/^[^ ]* /    /p' <<<"$tasks"
  while read -r task _; do
    container=$(docker inspect --format '{{with .Status.ContainerStatus}}{{.ContainerID}}{{end}}' "$task" 2>/dev/null) # The swarm forgets old tasks.
    if [[ -z $container ]]; then continue; fi
    say "The last log lines of task $task:"
    docker service logs --raw --tail 10 "$task" 2>&1 | sed 's/^/    /'
    # Known to this engine only if the task ran here.
    docker inspect --format "$state_format" "$container" 2>/dev/null | sed '/^$/d' | tail -n 3
    return
  done <<<"$tasks"
}

# explain_silence NAME URL: its tasks are healthy, but the URL answers wrongly or not at all.
explain_silence() {
  say "The tasks of $1 are healthy, but $2 does not answer as it should."
  if [[ $PUBLISH_MODE = ingress ]]; then
    say 'If nothing answers at all, the kernel most likely has no IPVS, which the routing mesh needs: deploy with PUBLISH_MODE=host.'
  else
    say 'If nothing answers at all, a firewall may be on the way.'
  fi
  say 'If something else answers, set ManagerIP to an address of the swarm that this machine reaches.'
}

# remove_service NAME: removes it, and waits until its tasks and its containers on this
# engine are gone. Nobody waits for requests in flight: the containers are killed at
# once, and then left to the engine, which otherwise keeps its part of the network for
# good. One that it created but never started it may forget.
remove_service() {
  local id patience=10
  id=$(docker service inspect --format '{{.ID}}' "$1")
  docker service rm "$1" >/dev/null
  # One may end on its own before it is killed.
  containers_of "$1" | xargs docker kill >/dev/null 2>&1 || true
  wait_until_gone "$1" "$id"
  while [[ -n $(containers_of "$1") ]] && ((patience-- > 0)); do sleep 1; done
  containers_of "$1" | xargs docker rm --force >/dev/null 2>&1 || true
}
