#!/usr/bin/env bash
# remove.sh: removes [[.Name]] and its history. It also removes its networks, unless another
# service uses them. Images and volumes stay.
set -euo pipefail
STACK_FILE=${STACK_FILE:-$(dirname "${BASH_SOURCE[0]}")/../stack.yml} exec deploy remove "$@"
