#!/usr/bin/env bash
# rollback.sh [SERVICE] [N]: goes back to what the last deploy replaced, or to entry N of
# the history. Twice is back where it was.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/deploy.sh" rollback "$@"
