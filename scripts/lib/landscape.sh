#!/usr/bin/env bash
# landscape.sh: deploys the services that come as finished images, by the same steps as
# the one that is built here. Sourced by lib.sh.

# begin_image_service NAME SCRIPT ARGUMENTS...: the start of a script that deploys the
# service NAME or, with --remove, takes it away.
begin_image_service() {
  local name=$1 script=$2 remove=
  shift 2
  if [[ ${1:-} = --remove ]]; then
    remove=yes
    shift
  fi
  begin "$script" "$@"
  export SERVICE=$name
  if [[ -n $remove ]]; then exec "$scripts/remove.sh"; fi
}

# deploy_image IMAGE_SETTING PORT_SETTING TARGET_PORT ARGUMENTS: deploys one task of the
# image that a setting names, and proves that it runs and that its page answers.
# PORT_SETTING names the setting of its published port, and is empty where it has none;
# ARGUMENTS has more arguments of docker service create, one a line. What can fail
# without touching the running service comes first; what fails later is undone.
deploy_image() {
  unset holder was_known DEPLOY_DEADLINE FORCE # They are for the steps, not for the caller.
  export REPLICAS=1 VERIFY_PATH=/ VERIFY_BODY=''
  interruptible
  say "Checking that $SERVICE can be deployed"
  check_swarm "$2"
  find_image "$1"
  timed swarm || exit 1
  hold_lock
  check_ours
  export TARGET_IMAGE TARGET_VERSION=${!1} TARGET_SHA256='' TARGET_ARGUMENTS
  TARGET_ARGUMENTS=$(image_service_arguments "$@" | LC_ALL=C sort)
  shielded change_to service
  if [[ -z $2 ]]; then say "It is reached on network $NETWORK only: http://$SERVICE:$3"; fi
  if [[ -n $interrupted ]]; then
    say "Deployed $SERVICE all the same: it was too late to stop"
    exit 130
  fi
}

# find_image SETTING: sets TARGET_IMAGE to the image that a setting names, as the swarm
# is to name it: by the digest under which its registry has it, or else by its id. One
# that the engine lacks is pulled.
find_image() {
  local image=${!1} said repository id
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    say "Pulling $image"
    said=$(docker pull --quiet "$image" 2>&1) || fail "the image $image of $SERVICE cannot be pulled:" "$said" \
      "name another with $1; one that only this engine has will do" "$untouched"
  fi
  repository=${image%@*}
  if [[ ${repository##*/} = *:* ]]; then repository=${repository%:*}; fi
  said=$(docker image inspect --format '{{.Id}}{{range .RepoDigests}}{{"\n"}}{{.}}{{end}}' "$image")
  id=${said%%"$newline"*}
  TARGET_IMAGE=$(grep -F "$repository@" <<<"$said" | sed -n 1p || true)
  # An engine with the containerd image store gives digests to local images, too: their ids.
  if [[ -z $TARGET_IMAGE || ($TARGET_IMAGE = *"@$id" && -z $(docker manifest inspect "$TARGET_IMAGE" 2>/dev/null)) ]]; then
    TARGET_IMAGE=$id
  fi
}

# image_service_arguments, given what deploy_image was: an argument a line. Nobody knows
# what user, files and memory a foreign image needs, so it is not confined as
# accountservice is.
image_service_arguments() {
  common_arguments
  if [[ -n $2 ]]; then echo "--publish mode=$PUBLISH_MODE,published=${!2},target=$3"; fi
  if [[ -n $4 ]]; then echo "$4"; fi
  if [[ $TARGET_IMAGE = sha256:* ]]; then
    say "Only this node has ${!1}: $SERVICE is bound to it" >&2
    echo "--constraint node.id==$swarm_node"
  fi
}

# with_docker_socket PORT_SETTING: the arguments that let a service ask its node's engine about the
# swarm, which only a manager knows. Read-only or not, who can write to the socket can
# do anything there: a mount that is read-only protects the file, not the engine.
with_docker_socket() {
  say "Warning: who reaches port ${!1} sees the whole swarm, and the docker socket that $SERVICE has, read-only mounted or not, is root on the manager" >&2
  echo '--constraint node.role==manager'
  echo "--mount type=bind,source=$DOCKER_SOCK,destination=/var/run/docker.sock"
}
