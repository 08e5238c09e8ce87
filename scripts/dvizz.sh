#!/usr/bin/env bash
# dvizz.sh [--remove]: deploys dvizz, another visualizer of the swarm, or deploys it again, and
# proves that it works.
#   --remove   remove it
set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")
export STACK_FILE=$scripts/../landscape.yml
if [[ ${1:-} = --remove ]]; then
  shift
  exec "$scripts/deploy.sh" remove dvizz "$@"
fi
exec "$scripts/deploy.sh" up dvizz "$@"
