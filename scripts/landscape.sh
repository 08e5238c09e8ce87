#!/usr/bin/env bash
# landscape.sh up|down: deploys accountservice and the services around it, or takes all of
# them away, and the network last. What fails does not keep it from the rest.
set -euo pipefail
unset CDPATH
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trap '' PIPE # A reader that goes away does not end it.
direction=${1:-}
shift || true
case $direction in
  up) command=up ;;
  down) command=remove ;;
  -h | --help) exec "$scripts/deploy.sh" up --help ;;
  *)
    printf 'error: say up or down\n' >&2
    exit 2
    ;;
esac
"$scripts/deploy.sh" "$command" --keep-going -f "$scripts/../stack.yml" -f "$scripts/../landscape.yml" "$@"
case " $* " in
  *' --json '*) ;;
  *) printf '==> The landscape is %s\n' "$direction" 2>/dev/null || true ;; # Perhaps nobody reads any more.
esac
