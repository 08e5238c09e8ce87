#!/usr/bin/env bash
# deploy.sh: what a deploy compares, remembers, locks and undoes. Sourced by lib.sh.

# check_swarm [PORT_SETTING]: checks, without changing anything, that SERVICE can be
# deployed here: the engine, its swarm, the network and the port, if it is to have one.
check_swarm() {
  need_command curl 'install it with the package manager of this system'
  need_engine
  check_network
  if [[ $swarm_state = inactive ]]; then return; fi
  need_manager
  if [[ -n ${1:-} ]]; then check_port_free "$1"; fi
}

# check_port_free PORT_SETTING: no other service publishes the port.
check_port_free() {
  local port=${!1} services ports other
  services=$(docker service ls --quiet) || fail 'docker service ls fails'
  if [[ -z $services ]]; then return; fi
  # shellcheck disable=SC2086 # one argument a service
  ports=$(docker service inspect --format '{{.Spec.Name}} {{range .Endpoint.Ports}}:{{.PublishedPort}}/{{.Protocol}}:{{end}}' $services) ||
    fail 'which ports the services publish cannot be told: docker service inspect fails'
  other=$(sed -n "/:$port\/tcp:/s/ .*//p" <<<"$ports" | grep -vx "$SERVICE" || true)
  [[ -z $other ]] || fail "port $port is published by service $other" \
    "choose another with $1, or remove that service: docker service rm $other"
}

# deploy_target: sets new, version and new_sha256 to what is to be deployed: what
# image.sh built, or what the script that runs this step has chosen.
# shellcheck disable=SC2034 # for the caller
deploy_target() {
  if [[ -n ${TARGET_IMAGE:-} ]]; then
    new=$TARGET_IMAGE version=$TARGET_VERSION new_sha256=$TARGET_SHA256
  else
    new=$(built_image)
    version=$VERSION
    new_sha256=$(wanted_sha256)
  fi
}

# wanted_arguments: what this service is created with, an argument a line, sorted. The
# number of replicas is not among them: it changes while the service runs.
wanted_arguments() {
  if [[ -n ${TARGET_ARGUMENTS:-} ]]; then
    echo "$TARGET_ARGUMENTS"
    return
  fi
  {
    common_arguments
    echo "--network $NETWORK"
    # shellcheck disable=SC2153 # PORT is a setting, not a misspelt local of elsewhere
    echo "--publish mode=$PUBLISH_MODE,published=$PORT,target=$TARGET_PORT"
    confinement
    echo "--limit-memory $LIMIT_MEMORY"
    if [[ -n $LIMIT_CPU ]]; then echo "--limit-cpu $LIMIT_CPU"; fi
    if [[ -n $DATA_VOLUME ]]; then
      echo "--mount type=volume,source=$DATA_VOLUME,destination=/data"
    else
      echo "--mount type=tmpfs,destination=/data,tmpfs-size=$TMPFS_SIZE,tmpfs-mode=1777"
    fi
    # A probe starts a process, so it is frequent only where that can end with the start.
    echo '--health-start-period 10s'
    if api_at_least 44; then
      echo '--health-interval 5s'
      echo '--health-start-interval 200ms'
    else
      echo '--health-interval 1s'
    fi
  } | LC_ALL=C sort
}

# confinement: what docker run and docker service create both take, so that the trial
# is confined as the service is.
confinement() {
  local pair
  echo '--read-only'
  echo '--cap-drop ALL'
  for pair in $SERVICE_ENV; do echo "--env $pair"; done
}

# built_image: the image that image.sh built last for VERSION, as the swarm is to name
# it: by its id or, where a registry has it for all nodes, by its digest. A tag would
# be looked up anew at every start of a task.
built_image() {
  local format='{{.Id}}' name
  if [[ -n $REGISTRY ]]; then format='{{range .RepoDigests}}{{println .}}{{end}}'; fi
  name=$(docker image inspect --format "$format" "$image:$VERSION" 2>/dev/null | grep -E "^(sha256:|$REGISTRY/$image@)" | sed -n 1p) || true
  [[ -n $name ]] || fail "this engine has no image $image:$VERSION${REGISTRY:+ that $REGISTRY has too}" \
    "make it: scripts/build.sh, then scripts/image.sh${REGISTRY:+, then scripts/push.sh}"
  echo "$name"
}

# image_label IMAGE LABEL
image_label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1"; }

# wanted_sha256: of the binary, the Dockerfile and the base image, which image.sh put
# in a label, and the arguments. An image's id tells less: it changes with the cache.
wanted_sha256() {
  { image_label "$image:$VERSION" copyall.sha256 && wanted_arguments; } | sha256
}

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | sed 's/ .*//'
}

# remember_service: sets was_... to what runs now; was_id is empty where nothing does.
# The steps of one deploy share what the first of them found.
remember_service() {
  local said
  if [[ -n ${was_known:-} ]]; then return; fi
  was_id='' was_image='' was_replicas='' was_deployed='' was_version='' was_sha256=''
  was_previous_image='' was_previous_version='' was_previous_sha256='' was_arguments=''
  if said=$(docker service inspect --format '{{.ID}}
{{.Spec.TaskTemplate.ContainerSpec.Image}}
{{with .Spec.Mode.Replicated}}{{.Replicas}}{{end}}
{{index .Spec.Labels "copyall.image"}}
{{index .Spec.Labels "copyall.version"}}
{{index .Spec.Labels "copyall.sha256"}}
{{index .Spec.Labels "copyall.previous-image"}}
{{index .Spec.Labels "copyall.previous-version"}}
{{index .Spec.Labels "copyall.previous-sha256"}}
{{index .Spec.Labels "copyall.arguments"}}
end' "$SERVICE" 2>&1); then
    {
      read -r was_id; read -r was_image; read -r was_replicas; read -r was_deployed; read -r was_version
      read -r was_sha256; read -r was_previous_image; read -r was_previous_version; read -r was_previous_sha256
      was_arguments=$(sed '$d') # All but the end, without which empty lines would be lost.
    } <<<"$said"
  else
    case $said in # Only what is known not to be there may be created, or removed again.
      *'no such service'* | *"service $SERVICE not found"* | *'not a swarm manager'*) ;;
      *) fail "what runs as $SERVICE cannot be told:" "$said" ;;
    esac
  fi
  was_known=yes
  export was_known was_id was_image was_replicas was_deployed was_version was_sha256
  export was_previous_image was_previous_version was_previous_sha256 was_arguments
}

# runs_already: what is wanted is what was deployed last, and nobody changed it since.
runs_already() {
  [[ -n $was_id && $was_image = "$was_deployed" && $was_sha256 = "$(wanted_sha256)" ]]
}

# check_same_settings: a rolling update changes the image only.
check_same_settings() {
  local lines
  if [[ -z $was_id ]]; then return; fi
  lines=$(diff <(echo "$was_arguments") <(wanted_arguments) | sed -n 's/^< /now:    /p; s/^> /wanted: /p' || true)
  [[ -z $lines ]] || fail "$SERVICE runs with other settings, which a rolling update does not change; the service was not touched:" \
    "${lines//$newline/$newline       }" 'set them as they are now, or deploy without --rolling'
}

# deploy_labels FLAG IMAGE VERSION SHA256: sets labels to the arguments that record a
# deploy and what it replaces; FLAG is --label or --label-add.
deploy_labels() {
  local previous_image=$was_image previous_version=$was_version previous_sha256=$was_sha256
  if [[ $was_image != "$was_deployed" ]]; then
    previous_version='' previous_sha256='' # Somebody else's image.
  fi
  if [[ $2 = "$was_image" || ($was_image = "$was_deployed" && -n $4 && $4 = "$was_sha256") ]]; then
    # The same again: what it replaced at first is still the one to go back to.
    previous_image=$was_previous_image previous_version=$was_previous_version previous_sha256=$was_previous_sha256
  fi
  set_labels "$@" "$previous_image" "$previous_version" "$previous_sha256"
}

# restored_labels FLAG: sets labels to those that the service had.
restored_labels() {
  set_labels "$1" "$was_deployed" "$was_version" "$was_sha256" "$was_previous_image" "$was_previous_version" "$was_previous_sha256"
}

# set_labels FLAG IMAGE VERSION SHA256 and the same three of what was replaced
set_labels() {
  # shellcheck disable=SC2034 # for the caller
  labels=(
    "$1" "copyall.image=$2" "$1" "copyall.version=$3" "$1" "copyall.sha256=$4"
    "$1" "copyall.previous-image=$5" "$1" "copyall.previous-version=$6" "$1" "copyall.previous-sha256=$7"
  )
}

# as_published: what runs may have been published otherwise than the settings say.
as_published() {
  case $was_arguments in
    *'--publish mode=host'*) PUBLISH_MODE=host ;;
    *'--publish mode=ingress'*) PUBLISH_MODE=ingress ;;
  esac
}

# update_order REPLICAS: start-first where a new task can run beside the old one; with
# a host-mode port it needs a node that has none yet.
update_order() {
  if [[ $PUBLISH_MODE = ingress ]] || (($1 < $(active_nodes))); then echo start-first; else echo stop-first; fi
}

# hold_lock: one deploy of a service at a time: takes the lock until the script exits,
# and then remembers what runs. The steps of a deploy find both done. Where there is no
# swarm yet, there is nowhere to keep a lock, and nothing runs.
hold_lock() {
  if [[ -z ${holder:-} ]]; then
    need_engine
    if [[ $swarm_state = active ]]; then
      lock=$SERVICE.deploy-lock
      export holder
      holder="$(id -un) on $(hostname), process $$, in $root since $(date '+%Y-%m-%d %H:%M:%S %z')"
      trap unlock EXIT # Before it is taken, as a signal may come while it is.
      lock
    fi
    unset was_known
  fi
  remember_service
}

# lock: creating a config is atomic in the swarm.
lock() {
  local said other
  if said=$(echo "$holder" | docker config create --label "copyall.holder=$holder" "$lock" - 2>&1); then return; fi
  other=$(docker config inspect --format '{{index .Spec.Labels "copyall.holder"}}' "$lock" 2>/dev/null) ||
    fail "the lock $lock cannot be had:" "$said"
  fail "$SERVICE is being deployed already, by $other; nothing was changed" \
    "wait for it, or if it is known to have died, free its lock: docker config rm $lock"
}

# unlock: frees the lock if it is this script's own, whatever signals come. It is the
# last thing that a script does, and does not change how that ends.
unlock() {
  trap '' INT TERM HUP
  set -m # Docker's client would end at Ctrl-C, which goes to a whole process group.
  free_lock &
  set +m
  wait $! || printf 'error: the lock %s may be left behind; free it: docker config rm %s\n' "$lock" "$lock" >&2
}

free_lock() {
  local own
  own=$(docker config ls --quiet --filter "label=copyall.holder=$holder") || return 1
  if [[ -n $own ]]; then docker config rm "$lock" >/dev/null; fi
}

# interruptible: from here on, Ctrl-C ends the script, which says that nothing was changed.
interruptible() {
  untouched="nothing was changed; if $SERVICE was running, it still is"
  trap 'echo "Interrupted: $untouched" >&2; exit 130' INT TERM HUP
}

# check_ours: a service that these scripts did not create is not theirs to remove, and
# could not be put back as it was.
check_ours() {
  [[ -z $was_id || -n $was_arguments ]] ||
    fail "a service $SERVICE runs that these scripts did not create; it was not touched" \
      "remove it yourself: docker service rm $SERVICE"
}

# check_has_replicas: an update of a service without tasks never ends.
check_has_replicas() {
  [[ $was_replicas != 0 ]] || fail "$SERVICE is scaled to 0 replicas, so there is nothing to update; the service was not touched" \
    "give it some first: docker service scale $SERVICE=1"
}

# shielded COMMAND...: runs it to its end, whatever signals come, and returns its exit
# code. Ctrl-C goes to a whole process group, so the command gets one of its own.
shielded() {
  local job status
  # shellcheck disable=SC2034 # for the caller
  interrupted=''
  trap 'interrupted=yes; say "Interrupted. Finishing first, as half a deploy would leave you with nothing: this takes a minute or two at most" >&2' INT TERM HUP
  set -m
  # Nor does it end with the terminal, or with the pipe, that it writes to.
  (
    trap '' HUP INT TERM PIPE
    "$@"
  ) &
  job=$!
  set +m
  while status=0; wait "$job" || status=$?; kill -0 "$job" 2>/dev/null; do :; done
  if ((status > 128)); then # A signal may have cut short the last wait.
    status=0
    wait "$job" 2>/dev/null || status=$?
  fi
  trap - INT TERM HUP
  return "$status"
}

# timed NAME: runs scripts/NAME.sh and prints how many seconds it took.
timed() {
  local TIMEFORMAT="    $1.sh: %1R s"
  # The time goes to stdout; the step's own stderr, by way of 3, stays what it is.
  ( time "$scripts/$1.sh" 2>&3 ) 3>&2 2>&1
}

# change_to HOW: changes the swarm: scripts/HOW.sh, service or rolling, then the proof;
# and if either fails, back to what ran before. Exits.
change_to() {
  start_clock
  need_manager
  watched=''
  trap stop_watching EXIT
  start_watching
  if timed network && timed "$1" && timed verify; then
    report_silence
    timed tidy || say "$SERVICE runs and answers; only older images were not removed"
    exit 0
  fi
  timed undo || true
  report_silence
  exit 1
}

# start_watching: has the first URL of the service that runs asked until stop_watching.
start_watching() {
  watched=''
  if [[ -n $was_id ]]; then watched=$(service_urls "$SERVICE" "$VERIFY_PATH" | sed -n 1p) || true; fi
  if [[ -z $watched ]]; then return; fi
  watch_log=$(mktemp)
  # It is killed in mid-sentence, and has nothing to say about that.
  watch_answers "$watched" >"$watch_log" 2>/dev/null &
  watcher=$!
}

watch_answers() {
  while :; do
    if answers "$1"; then echo "$(now) up"; else echo "$(now) down"; fi
    sleep 0.1
  done
}

# now: seconds since 1970, with a fraction where date knows one.
now() {
  local time
  time=$(date +%s.%N)
  echo "${time%N}"
}

# report_silence: the longest time between two answers that had failures between them.
report_silence() {
  local urls
  if [[ -z $watched ]]; then return; fi
  if urls=$(service_urls "$SERVICE" "$VERIFY_PATH" 2>/dev/null) && [[ $urls != *"$watched"* ]]; then
    say "$watched is silent for good: no task runs there any more"
    return
  fi
  say "$(awk -v url="$watched" '
    { if (!last) last = $1 }
    $2 == "up" { if (silent && $1 - last > longest) longest = $1 - last; last = $1; silent = 0 }
    $2 == "down" { silent = 1; until = $1 }
    END { if (silent && until - last > longest) longest = until - last
      if (longest) printf "%s was silent for %.1f s", url, longest; else printf "%s answered all the time", url }' "$watch_log")"
}

stop_watching() {
  if [[ -n $watched ]]; then
    kill -KILL "$watcher" 2>/dev/null || true # It ignores what its parent does.
    wait "$watcher" 2>/dev/null || true # Or old versions of bash say that it was terminated.
    rm -f "$watch_log"
  fi
}
