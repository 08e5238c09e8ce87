#!/usr/bin/env bash
# quotes-service.sh [--remove]: deploys the quotes-service, or deploys it anew, from
# QUOTES_IMAGE, and waits until it runs. It publishes no port: the other services on
# NETWORK reach it, as http://quotes-service:8080/api/quote, and nobody outside.
#   --remove   take it away
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin_image_service quotes-service "$0" "$@"

deploy_image QUOTES_IMAGE '' 8080 "--network $NETWORK"
