#!/usr/bin/env bash
# rollback.sh [SERVICE] [N]: goes back to the version before the last deploy, or to entry N of
# the history. A second rollback returns to the newer version.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/deploy.sh" rollback "$@"
