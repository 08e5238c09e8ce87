# stats.awk: turns the samples of docker stats into CSV. It reads lines with the Unix time,
# container, CPU, memory and memory limit. The client shows each figure about twice: for each
# second and container, the last one counts.

function mib(size) {
  return size * (size ~ /GiB/ ? 1024 : size ~ /MiB/ ? 1 : size ~ /KiB/ ? 1 / 1024 : 1 / 1048576)
}

BEGIN { print "time,container,cpu_percent,memory_mib,limit_mib" }

{
  key = $1 "," $2
  if (!(key in rest)) keys[++n] = key
  rest[key] = sprintf("%.2f,%.3f,%.0f", $3, mib($4), mib($5))
}

END { for (i = 1; i <= n; i++) print keys[i] "," rest[keys[i]] }
