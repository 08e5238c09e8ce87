#!/usr/bin/env bash
# status.sh: shows all services of the swarm, the history of their deploys, and the deploys that
# run now.
set -euo pipefail
STACK_FILE=${STACK_FILE:-$(dirname "${BASH_SOURCE[0]}")/../stack.yml} exec deploy status "$@"
