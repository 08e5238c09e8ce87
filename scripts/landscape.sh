#!/usr/bin/env bash
# landscape.sh up|down: deploys accountservice and the services around it, or takes
# all of them away, and the network last. What fails does not keep it from the rest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

direction=
if [[ ${1:-} = up || ${1:-} = down ]]; then
  direction=$1
  shift
fi
begin "$0" "$@"

# each COMMAND...: runs a script and, where it fails, notes that.
each() {
  local status=0
  "$scripts/$1" "${@:2}" || status=$?
  if ((status == 130)); then exit 130; fi # Ctrl-C is meant for all of it.
  if ((status > 0)); then failed+=("$1"); fi
}

failed=()
case $direction in
  up)
    each copyall.sh
    each quotes-service.sh
    each visualizer.sh
    each dvizz.sh
    ;;
  down)
    each dvizz.sh --remove
    each visualizer.sh --remove
    each quotes-service.sh --remove
    each remove.sh
    ;;
  *) usage_error 'say up or down' ;;
esac
((${#failed[@]} == 0)) || fail "failed, for the reasons above: ${failed[*]}" \
  'mend what they say, and run those alone; the rest of the landscape is done'
say "The landscape is $direction"
