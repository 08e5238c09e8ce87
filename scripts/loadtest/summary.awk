# summary.awk: prints the results of a load test as Markdown. It reads seconds.csv, stats.csv
# and the output of Gatling. idle is the number of samples of each container before the load.

# median of values[1..n]; ? if there are none
function median(values, n,    i, j, value) {
  for (i = 2; i <= n; i++) { # Insertion sort: not every awk has asort.
    value = values[i]
    for (j = i - 1; j >= 1 && values[j] > value; j--) values[j + 1] = values[j]
    values[j + 1] = value
  }
  return n == 0 ? "?" : n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
}

function higher(a, b) { return a == "" || b + 0 > a + 0 ? b : a }

# digits: value with n digits after the point; ? if there is no value
function digits(value, n) { return value == "" || value == "?" ? "?" : sprintf("%." n "f", value) }

function thousands(n) {
  if (n == "?" || n + 0 < 1000) return n
  return thousands(int(n / 1000)) sprintf(",%03d", n % 1000)
}

# figure: a figure for all requests, from the summary that Gatling prints last
function figure(name) { return name in figures ? figures[name] : "?" }

BEGIN {
  FS = ","
  # All users are there after the ramp. A short run has only the ramp.
  ramp = duration > 10 ? 10 : 0
}

FNR == 1 { file++ }

file == 1 && FNR > 1 {
  if (FNR == 2) start = $1
  if ($1 >= start + ramp) { requests += $2; seconds++ }
}

file == 2 && FNR > 1 {
  name = $2
  if (!(name in limit)) names[++containers] = name
  limit[name] = $5
  if (++samples[name] <= idle) {
    cpu_idle[name, samples[name]] = $3 + 0
    memory_idle[name, samples[name]] = $4 + 0
  } else if ($1 > start) { # A sample is about the second before it.
    memory_peak[name] = higher(memory_peak[name], $4)
    cpu_peak[name] = higher(cpu_peak[name], $3)
    if ($1 > start + ramp && $1 <= start + duration) cpu_load[name, ++loaded[name]] = $3 + 0
  }
}

file == 3 && /^> .*\|/ {
  split($0, cells, "|")
  name = cells[1]
  gsub(/^> | +$/, "", name)
  for (i = 2; i <= 4; i++) gsub(/[ ,]/, "", cells[i])
  figures[name] = cells[2]
  if (name == "request count") failures = cells[4] == "-" ? 0 : cells[4]
}

END {
  print "\n**Memory usage after start-up** (medians of " idle " samples of `docker stats`, a second apart, health check on)\n"
  print "| container | CPU | memory |"
  print "|---|---|---|"
  for (c = 1; c <= containers; c++) {
    name = names[c]
    n = samples[name] < idle ? samples[name] : idle
    for (i = 1; i <= n; i++) { cpu[i] = cpu_idle[name, i]; memory[i] = memory_idle[name, i] }
    print "| " name " | " digits(median(cpu, n), 2) " % | " digits(median(memory, n), 1) " MiB of " limit[name] " |"
  }
  print "| original, measured again on 2 cores | | 3.2 MiB |"
  print "| original, in its blog post of 2017 | 0.00 % | 5.6 MiB |"

  print "\n**CPU and memory usage during load test** (" thousands(users) " users, " duration " s; CPU: median" (ramp ? " with all users there" : "") ", highest)\n"
  print "| container | CPU | memory, peak |"
  print "|---|---|---|"
  for (c = 1; c <= containers; c++) {
    name = names[c]
    n = loaded[name] + 0
    for (i = 1; i <= n; i++) cpu[i] = cpu_load[name, i]
    print "| " name " | " digits(median(cpu, n), 1) " %, " digits(cpu_peak[name], 1) " % | " \
      digits(memory_peak[name], 1) " MiB of " limit[name] " |"
  }
  print "| original, measured again on 2 cores, 1,000 users | 15 to 19 % | 35.6 MiB |"
  print "| original, in its blog post of 2017, 1,000 users | 25.5 % | 35.2 MiB |"

  print "\n| response times in ms | mean | p50 | p95 | p99 | max | requests | failures | requests/s" (ramp ? ", all users there" : "") " |"
  print "|---|---|---|---|---|---|---|---|---|"
  print "| this run | " figure("mean response time (ms)") " | " figure("response time 50th percentile (ms)") " | " \
    figure("response time 95th percentile (ms)") " | " figure("response time 99th percentile (ms)") " | " figure("max response time (ms)") " | " \
    thousands(figure("request count")) " | " thousands(failures) " | " (seconds ? thousands(int(requests / seconds + 0.5)) : "?") " |"
  print "| original, measured again on 2 cores, 1,000 users | 1 | | | 3 | | | | |"
  print "| original, in its blog post of 2017, 1,000 users | 4 | | | | | | | 1,000 |"
}
