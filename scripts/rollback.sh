#!/usr/bin/env bash
# rollback.sh: goes back to the image that the last deploy replaced, by a rolling
# update. Twice is back where it was.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin "$0" "$@"
unset holder was_known DEPLOY_DEADLINE TARGET_ARGUMENTS FORCE # They are for the steps, not for the caller.
interruptible

need_manager
hold_lock
[[ -n $was_id ]] || fail "there is no service $SERVICE to roll back"
[[ -n $was_previous_image ]] || fail "$SERVICE $was_version replaced nothing, so there is nothing to go back to" \
  'check out the version you want, and deploy it: scripts/copyall.sh'
if [[ $was_previous_image = sha256:* ]]; then
  docker image inspect "$was_previous_image" >/dev/null 2>&1 || fail "this engine no longer has the image $was_previous_image of $was_previous_version" \
    'check out that version, and deploy it: scripts/copyall.sh'
fi
export TARGET_IMAGE=$was_previous_image TARGET_VERSION=$was_previous_version TARGET_SHA256=$was_previous_sha256
check_has_replicas
shielded change_to rolling
say "Rolled $SERVICE back to $TARGET_VERSION in $SECONDS s"
if [[ -n $interrupted ]]; then exit 130; fi
