#!/usr/bin/env bash
# dvizz.sh [--remove]: deploys dvizz, another visualizer of the swarm, or deploys it
# anew, from DVIZZ_IMAGE, and proves that its page answers on DVIZZ_PORT.
#   --remove   take it away
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin_image_service dvizz "$0" "$@"

deploy_image DVIZZ_IMAGE DVIZZ_PORT 6969 "--network $NETWORK$newline$(with_docker_socket DVIZZ_PORT)"
