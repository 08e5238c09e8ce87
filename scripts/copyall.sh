#!/usr/bin/env bash
# copyall.sh [--rolling] [--force] [--plan]: builds accountservice, tries it, removes and
# recreates it on the swarm, and proves that it answers. What fails is undone.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/deploy.sh" up "$@"
