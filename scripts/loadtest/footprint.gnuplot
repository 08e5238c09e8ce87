# footprint.gnuplot: draws stats.csv and seconds.csv of the directory dir as dir/footprint.svg: memory and CPU
# of all containers together, and requests in each second, one below the other.
stats = dir.'/stats.csv'
seconds = dir.'/seconds.csv'
start = system("sed -n '2s/,.*//p' ".seconds) + 0
end = system("sed -n '$s/,.*//p' ".seconds) + 1 - start
first = system("sed -n '2s/,.*//p' ".stats) - start

set terminal svg size 900,720 font 'sans-serif,14' background 'white'
set output dir.'/footprint.svg'
set datafile separator ','
set multiplot layout 3,1 margins 0.08,0.97,0.12,0.94 spacing 0.07
set xrange [first:end]
set yrange [0:*]
set grid ytics linetype 1 linecolor '#dddddd'
set border 3
set format x ''
set tics nomirror out
set key off
set object 1 rectangle from 0, graph 0 to end, graph 1 behind fillcolor '#f0f0f0' fillstyle solid noborder

# These are labels, because a title cannot be at the left edge of a graph.
set label 1 'memory of the service, MiB' at graph 0, graph 1.1
plot stats using ($1 - start):4 smooth frequency with lines linewidth 2 linecolor '#1f77b4'
set label 1 'CPU of the service, % of a core'
plot stats using ($1 - start):3 smooth frequency with lines linewidth 2 linecolor '#d62728'
set label 1 'requests a second'
set format x '%g'
set xlabel 'seconds since the load began (grey: while it lasts)'
plot seconds using ($1 - start):2 with lines linewidth 2 linecolor '#2ca02c'
