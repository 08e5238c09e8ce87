#!/usr/bin/env bash
# copyall.sh [--rolling] [--force] [--plan]: builds accountservice, tries it, and replaces the
# running service. With --rolling, it updates the running service. Then it proves that the new
# version answers. If a step fails, the old version comes back.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/deploy.sh" up "$@"
