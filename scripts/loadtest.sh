#!/usr/bin/env bash
# loadtest.sh [USERS] [SECONDS]: measures the running service: its memory and CPU at rest, then
# its memory, CPU and response times while USERS (1000) look up accounts for SECONDS (30), with
# Gatling. It prints tables, and writes them to build/loadtest/TIME/ with a chart, Gatling's
# report and all samples. After a load, the service gives memory back slowly. To measure it
# after start-up, deploy again just before.
set -euo pipefail
unset CDPATH # With it, cd prints the directory.
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$scripts")
service=accountservice
idle_samples=30
newline=$'\n' # Old versions of bash do not accept $'\n' inside an expansion.

say() { printf '==> %s\n' "$*"; }

# fail MESSAGE...: prints the problem and then what to do, one line each.
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  if (($# > 0)); then printf '       %s\n' "$@" >&2; fi
  exit 1
}

usage() {
  printf 'error: %s\n       usage: loadtest.sh [USERS] [SECONDS]\n' "$1" >&2
  exit 2
}

# check NAME VALUE: a number from 1 to 99999.
check() { [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || usage "$1='$2': want a number from 1 to 99999"; }

need_command() { command -v "$1" >/dev/null || fail "$1 is not installed" "$2"; }

users=${1-1000} duration=${2-30}
if [[ $users = -h || $users = --help ]]; then
  sed -n -e '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit
fi
(($# <= 2)) || usage "unknown argument '$3'"
check USERS "$users"
check SECONDS "$duration"
cd "$root"

# running_containers: prints the containers of the running tasks on this engine. A task that
# drains does not count.
running_containers() {
  local tasks task
  tasks=$(docker service ps --no-trunc --filter desired-state=running --quiet "$service") || return
  for task in $tasks; do docker ps --quiet --filter "label=com.docker.swarm.task.id=$task"; done
}

# find_containers: sets containers to the containers of the service that docker stats can see.
find_containers() {
  local nodes
  containers=$(running_containers)
  if [[ -n $containers ]]; then return; fi
  nodes=$(docker service ps --filter desired-state=running --format '{{.Node}}' "$service" | sort -u | xargs)
  [[ -n $nodes ]] || fail "$service has no running task" 'see why: scripts/status.sh'
  fail "no task of $service runs on this engine, only on: $nodes" \
    'docker stats sees only its own containers: point DOCKER_HOST or the docker context to a manager that runs a task'
}

# find_url: sets base_url to a URL of the service, on this engine if possible.
find_url() {
  local urls here
  urls=$("$scripts/status.sh" | awk -v service="$service" '$1 == service { for (i = 2; i <= NF; i++) if ($i ~ /^http:/) print $i }')
  here=${ManagerIP:-$(docker info --format '{{.Swarm.NodeAddr}}')}
  base_url=$({ grep -F "//$here:" <<<"$urls" || echo "$urls"; } | sed -n 1p)
  [[ -n $base_url ]] || fail "$service publishes no port" 'deploy it with one: scripts/copyall.sh'
  curl --silent --show-error --fail --globoff --noproxy '*' --max-time 5 "$base_url/accounts/10000" >/dev/null ||
    fail "$service does not answer at $base_url" 'see why: scripts/status.sh'
}

# sample: writes a line for each container, with the Unix time and the figures of docker stats,
# until it is stopped. Before the bar, the client prints codes that move the cursor.
sample() {
  local name cpu used limit _
  # shellcheck disable=SC2086 # one argument a container
  docker stats --format '| {{.Name}} {{.CPUPerc}} {{.MemUsage}}' $containers | {
    SECONDS=$(date +%s) # Bash counts up from this value.
    while read -r _ name cpu used _ limit _; do
      if [[ $cpu = [0-9]*% ]]; then echo "$SECONDS $name $cpu $used $limit"; fi
    done
  }
}

start_sampling() {
  set -m # The sampler gets its own process group, which is ended as a whole.
  sample >"$results/samples" 2>"$results/samples.err" &
  sampler=$!
  set +m
  trap stop_sampling EXIT
}

stop_sampling() {
  trap - EXIT
  kill -- "-$sampler" 2>/dev/null || true
  wait "$sampler" 2>/dev/null || true
}

# wait_for_samples: waits until there are samples of idle_samples different seconds.
wait_for_samples() {
  local count=0 shown=0 patience=$((2 * idle_samples))
  while ((count < idle_samples)); do
    ((patience-- > 0)) || fail 'docker stats gives too few figures:' "$(<"$results/samples.err")" "try it: docker stats ${containers//$newline/ }"
    sleep 1
    count=$(awk '!seen[$1]++ { n++ } END { print n + 0 }' "$results/samples")
    if ((count >= shown + 10)); then
      shown=$((count - count % 10))
      echo "    $count of $idle_samples samples"
    fi
  done
}

gatling() { mvn --batch-mode --quiet --file gatling/pom.xml "$@"; }

# simulate: returns 1 if the simulation fails.
simulate() {
  gatling gatling:test -Dusers="$users" -Dduration="$duration" -DbaseUrl="$base_url" \
    -Dgatling.resultsFolder="$root/$results/gatling" -DsecondsFile="$root/$results/seconds.csv" 2>&1 | tee "$results/simulation.txt"
}

# conditions: prints the date, the versions and the machine of the measurement.
conditions() {
  echo "Measured on $(date '+%Y-%m-%d %H:%M %Z') with \`scripts/loadtest.sh $users $duration\`:" \
    "$(docker exec "${containers%%"$newline"*}" /accountservice -version | sed 's/, commit [^,]*//')," \
    "$(docker info --format 'docker engine {{.ServerVersion}}, {{.NCPU}} cores, {{.OperatingSystem}}, kernel {{.KernelVersion}}')," \
    "Gatling $(sed -n '/gatling-charts/,/version/s/.*<version>\(.*\)<.*/\1/p' gatling/pom.xml)."
}

draw() {
  if ! command -v gnuplot >/dev/null; then
    say 'gnuplot is not installed (Debian: gnuplot-nox): there is no chart'
    return
  fi
  gnuplot -e "dir='$results'" scripts/loadtest/footprint.gnuplot
}

trap 'echo "Interrupted: nothing was changed" >&2; exit 130' INT TERM HUP
need_command docker 'install docker: https://docs.docker.com/engine/install/'
need_command javac 'install a JDK, 17 or newer (Debian: default-jdk-headless)'
need_command mvn 'install Maven (Debian: maven): https://maven.apache.org/install.html'
docker service inspect "$service" >/dev/null || fail "there is no service $service to measure" 'deploy it: scripts/copyall.sh'
find_containers
find_url
say 'Compiling the simulation (the first time, Maven fetches what it needs)'
gatling test-compile || fail 'the simulation cannot be compiled' 'fix the faults that Maven names above'
results=build/loadtest/$(date +%Y%m%d-%H%M%S)
mkdir -p "$results"

say "Measuring $service at $base_url: at rest first, $idle_samples samples, one a second"
start_sampling
wait_for_samples
say "Simulating $users users for $duration s"
failed=
simulate || failed=yes
stop_sampling
[[ -s $results/seconds.csv ]] || fail 'the simulation did not run' "fix the fault that it names above; its output is also in $results/simulation.txt"

# LC_ALL=C: in some languages, awk writes a comma instead of the decimal point.
LC_ALL=C awk -f scripts/loadtest/stats.awk "$results/samples" >"$results/stats.csv"
rm "$results/samples" "$results/samples.err"
{
  conditions
  LC_ALL=C awk -f scripts/loadtest/summary.awk -v idle="$idle_samples" -v users="$users" -v duration="$duration" \
    "$results/seconds.csv" "$results/stats.csv" "$results/simulation.txt"
} >"$results/summary.md"
draw || say 'gnuplot fails, for the reason above: there is no chart'
echo
cat "$results/summary.md"
echo
say "All of it is in $results; Gatling's report: $(ls "$results"/gatling/*/index.html)"
[[ $containers = "$(running_containers)" ]] ||
  fail "the tasks of $service have changed since the start: the figures are from different tasks" 'see why: docker service ps --no-trunc '"$service"
[[ -z $failed ]] || fail 'the load test failed:' "$(grep ' : false (actual' "$results/simulation.txt" || tail -n 3 "$results/simulation.txt")"
