#!/usr/bin/env bash
# rollback.sh [N]: goes back to the version of [[.Name]] that the last deploy replaced, or to entry N of the
# history. A second rollback returns to the newer version.
set -euo pipefail
STACK_FILE=${STACK_FILE:-$(dirname "${BASH_SOURCE[0]}")/../stack.yml} exec deploy rollback "$@"
