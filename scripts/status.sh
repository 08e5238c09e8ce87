#!/usr/bin/env bash
# status.sh: shows all services of the swarm, the history of their deploys, and the deploys
# that run now.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/deploy.sh" status "$@"
