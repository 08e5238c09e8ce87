#!/usr/bin/env bash
# lib.sh: what every script starts with. Sourced, not run, as is what is in lib/.

unset CDPATH # It would make cd print where it went.
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$scripts")
# shellcheck source=scripts/settings.sh
source "$scripts/settings.sh"
# shellcheck source=scripts/lib/engine.sh
source "$scripts/lib/engine.sh"
# shellcheck source=scripts/lib/service.sh
source "$scripts/lib/service.sh"
# shellcheck source=scripts/lib/deploy.sh
source "$scripts/lib/deploy.sh"
# shellcheck source=scripts/lib/landscape.sh
source "$scripts/lib/landscape.sh"

# Inside an expansion, old versions of bash take no $'\n'.
newline=$'\n'

# A deploy goes on where nobody reads any more what it says.
say() { printf '==> %s\n' "$*" 2>/dev/null || true; }

# fail MESSAGE...: says what went wrong and what to do, a line each, and ends the step.
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  if (($# > 0)); then printf '       %s\n' "$@" >&2; fi
  exit 1
}

usage_error() {
  printf 'error: %s\n       see %s --help\n' "$1" "$0" >&2
  exit 2
}

# begin SCRIPT ARGUMENTS...: the start of every script, which takes settings from
# the environment and no arguments but --help.
begin() {
  local script=$1
  shift
  read_settings
  case ${1:-} in
    '') ;;
    -h | --help) help_of "$script"; exit 0 ;;
    *) usage_error "unknown argument '$1'" ;;
  esac
  check_settings
  cd "$root" || exit
}

# help_of SCRIPT: the comment at its head, then the settings as they are now.
help_of() {
  local name _ meaning
  sed -n -e '2,/^[^#]/s/^# \{0,1\}//p' "$1"
  printf '\nSettings, as they are now; each is an environment variable:\n'
  while read -r name _ meaning; do
    printf '  %s=%s\n      %s\n' "$name" "${!name}" "$meaning"
  done < <(settings_table)
}

# start_clock: from here on, DEPLOY_TIMEOUT runs. A script that another one runs
# inherits its clock.
start_clock() {
  export DEPLOY_DEADLINE=${DEPLOY_DEADLINE:-$(($(date +%s) + DEPLOY_TIMEOUT))}
}

time_left() { (($(date +%s) < DEPLOY_DEADLINE)); }
