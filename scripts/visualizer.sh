#!/usr/bin/env bash
# visualizer.sh [--remove]: deploys the Docker Swarm visualizer as the service viz, or deploys
# it again, and proves that it works.
#   --remove   remove it
set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")
export STACK_FILE=$scripts/../landscape.yml
if [[ ${1:-} = --remove ]]; then
  shift
  exec "$scripts/deploy.sh" remove viz "$@"
fi
exec "$scripts/deploy.sh" up viz "$@"
