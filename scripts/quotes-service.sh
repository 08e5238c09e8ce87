#!/usr/bin/env bash
# quotes-service.sh [--remove]: deploys the quotes-service, or deploys it again, and
# proves that it works.
#   --remove   remove it
set -euo pipefail
scripts=$(dirname "${BASH_SOURCE[0]}")
export STACK_FILE=$scripts/../landscape.yml
if [[ ${1:-} = --remove ]]; then
  shift
  exec "$scripts/deploy.sh" remove quotes-service "$@"
fi
exec "$scripts/deploy.sh" up quotes-service "$@"
