#!/usr/bin/env bash
# settings.sh: the one place for settings. Each is an environment variable that
# overrides the default below; an empty one counts as unset.

# Name, default ("-" for none) and meaning of each setting.
settings_table() {
  cat <<'TABLE'
SERVICE         accountservice    name of the service and of its image
PACKAGE         ./accountservice  Go package that is built
DOCKERFILE      -                 Dockerfile of the image; default dockerfiles/SERVICE.Dockerfile
IMAGE_PREFIX    someprefix        the image is tagged IMAGE_PREFIX/SERVICE:latest and :VERSION
VERSION         -                 version that is built in; default from git describe
GOARCH          amd64             processor that the binary and the image are for
BASE_IMAGE      iron/base         image to build on; scratch where it cannot be had
NETWORK         my_network        overlay network of the service
REPLICAS        1                 how many tasks run the service
PORT            6767              port published to the outside
TARGET_PORT     6767              port the service listens on in its container
PUBLISH_MODE    ingress           ingress: every node answers, through the routing mesh; host: the tasks' nodes do
ManagerIP       -                 address to reach the swarm at; default from the docker context or the engine
ADVERTISE_ADDR  -                 address for a new swarm's manager; default the engine's choice
DATA_VOLUME     -                 named volume for the database, one per node and not shared; default a tmpfs
TMPFS_SIZE      64m               size of that tmpfs; it counts towards LIMIT_MEMORY
LIMIT_MEMORY    128m              memory limit of a task
LIMIT_CPU       -                 CPU limit of a task, as in 0.5; default none
SERVICE_ENV     -                 environment of the service: NAME=value NAME=value ...
VERIFY_PATH     /accounts/10000   path that must answer with status 200
VERIFY_BODY     -                 body it must answer with; default account 10000, or any for another VERIFY_PATH
TRIAL_SECONDS   3                 seconds for which the trial must stay healthy
DEPLOY_TIMEOUT  60                seconds from the first change to the swarm to the proven answer; undoing gets as many
REGISTRY        -                 host:port of a registry that all nodes pull from; needed on a swarm of several nodes
QUOTES_IMAGE    eriklupander/quotes-service  image of the quotes-service
VISUALIZER_IMAGE  dockersamples/visualizer   image of the visualizer
VISUALIZER_PORT   8080            port of its page, published to the outside
DVIZZ_IMAGE     eriklupander/dvizz  image of dvizz
DVIZZ_PORT      6969              port of its page, published to the outside
DOCKER_SOCK     /var/run/docker.sock  socket of the manager's engine, on the manager; the visualizers get it
TABLE
}

# read_settings sets every name of the table from the environment or its default.
read_settings() {
  local name default _
  while read -r name default _; do
    if [[ $default = - ]]; then default=; fi
    printf -v "$name" '%s' "${!name:-$default}"
    export "${name?}"
  done < <(settings_table)
  if [[ $VERIFY_PATH = /accounts/10000 && -z $VERIFY_BODY ]]; then
    VERIFY_BODY='{"id":"10000","name":"Person_0"}'
  fi
  : "${DOCKERFILE:=dockerfiles/$SERVICE.Dockerfile}"
  : "${VERSION:=$(git -C "$root" describe --tags --always --dirty 2>/dev/null || echo dev)}"
  # shellcheck disable=SC2034 # for the steps
  image=$IMAGE_PREFIX/$SERVICE
}

# check_settings refuses what cannot work, before anything is touched.
check_settings() {
  check SERVICE '^[a-z0-9]([a-z0-9-]{0,49}[a-z0-9])?$' 'lower-case letters, digits and dashes, 51 at most'
  check IMAGE_PREFIX '^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?$' 'the first part of an image name, as in someprefix'
  check VERSION '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$' 'an image tag: letters, digits, dots, dashes and underscores'
  check GOARCH '^[a-z0-9]+$' 'a processor that Go knows, as in amd64 or arm64'
  check NETWORK '^[A-Za-z0-9][A-Za-z0-9_.-]*$' 'the name of a network'
  check REPLICAS '^[1-9][0-9]{0,3}$' 'a number from 1 to 9999'
  check_port PORT
  check_port TARGET_PORT
  check PUBLISH_MODE '^(ingress|host)$' 'ingress or host'
  check ManagerIP '^[A-Za-z0-9.:-]*$' 'an address or a host name, without port'
  check ADVERTISE_ADDR '^[A-Za-z0-9_.:-]*$' 'an address or a network interface'
  check DATA_VOLUME '^([A-Za-z0-9][A-Za-z0-9_.-]+)?$' 'the name of a volume'
  check TMPFS_SIZE '^[1-9][0-9]*[bkmg]?$' 'a size, as in 64m'
  check LIMIT_MEMORY '^[1-9][0-9]*[bkmg]?$' 'a size, as in 128m'
  check LIMIT_CPU '^([0-9]+(\.[0-9]+)?)?$' 'a number, as in 0.5'
  check SERVICE_ENV '^([A-Za-z_][A-Za-z0-9_]*=[^[:space:]]*[[:space:]]*)*$' 'NAME=value NAME=value ...'
  check VERIFY_PATH '^/[^[:space:]]*$' 'a path, as in /accounts/10000'
  check TRIAL_SECONDS '^[0-9]{1,3}$' 'a number of seconds'
  check REGISTRY '^([A-Za-z0-9.-]+(:[0-9]+)?)?$' 'host:port'
  check_image QUOTES_IMAGE
  check_image VISUALIZER_IMAGE
  check_port VISUALIZER_PORT
  check_image DVIZZ_IMAGE
  check_port DVIZZ_PORT
  check DOCKER_SOCK '^/[^,[:space:]]+$' 'a path, as in /var/run/docker.sock'
  check DEPLOY_TIMEOUT '^[1-9][0-9]{0,4}$' 'a number of seconds'
}

# check NAME PATTERN WANTED
check() {
  [[ ${!1} =~ $2 ]] || usage_error "$1='${!1}': want $3"
}

check_image() { check "$1" '^[A-Za-z0-9][A-Za-z0-9._/:@-]*$' 'the name of an image'; }

check_port() {
  check "$1" '^[1-9][0-9]{0,4}$' 'a port from 1 to 65535'
  ((${!1} <= 65535)) || usage_error "$1='${!1}': want a port from 1 to 65535"
}
