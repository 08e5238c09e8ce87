#!/usr/bin/env bash
# view.sh [--listen HOST:PORT]: shows the swarm and the running deploys in the browser, on
# http://127.0.0.1:6790, until Ctrl-C.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/deploy.sh" view "$@"
