#!/usr/bin/env bash
# copyall.sh [--rolling] [--plan]: [[if not .Image]]builds [[.Name]], tries it[[else]]tries [[.Name]][[end]], and replaces the running service. With
# --rolling, it updates the running service. Then it proves that the new version answers. If a
# step fails, the old version comes back. With --plan, it only shows what it would change.
set -euo pipefail
STACK_FILE=${STACK_FILE:-$(dirname "${BASH_SOURCE[0]}")/../stack.yml} exec deploy up "$@"
