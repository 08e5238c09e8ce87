#!/usr/bin/env bash
# landscape.sh up|down: deploys accountservice and the services around it, or removes all of
# them, and the network last. If one service fails, it continues with the others.
set -euo pipefail
unset CDPATH
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
trap '' PIPE # The script does not end when its reader goes away.
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
  *) printf '==> The landscape is %s\n' "$direction" 2>/dev/null || true ;; # The reader may be gone.
esac
