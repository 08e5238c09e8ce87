#!/usr/bin/env bash
# remove.sh [SERVICE...]: removes the service and its history. It also removes its network,
# unless another service uses it. Images and volumes stay.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/deploy.sh" remove "$@"
