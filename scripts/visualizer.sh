#!/usr/bin/env bash
# visualizer.sh [--remove]: deploys the Docker Swarm visualizer as service viz, or
# deploys it anew, from VISUALIZER_IMAGE, and proves that its page answers on
# VISUALIZER_PORT.
#   --remove   take it away
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin_image_service viz "$0" "$@"

# It is not on NETWORK: it talks to nobody there, and nobody there needs its socket.
deploy_image VISUALIZER_IMAGE VISUALIZER_PORT 8080 "$(with_docker_socket VISUALIZER_PORT)"
