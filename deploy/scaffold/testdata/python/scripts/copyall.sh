#!/usr/bin/env bash
# copyall.sh [--rolling] [--plan]: builds hello-py, tries it, removes and recreates it on the
# swarm, or with --rolling updates it, and proves that it answers. What fails is undone.
set -euo pipefail
STACK_FILE=${STACK_FILE:-$(dirname "${BASH_SOURCE[0]}")/../stack.yml} exec deploy up "$@"
