# soak.gnuplot: draws build/soak.svg from build/soak.csv, the output of TestSoak.
set terminal svg size 900,720 font 'sans-serif,14' background 'white'
set output 'build/soak.svg'
set datafile separator ','
set multiplot layout 3,1 margins 0.08,0.97,0.12,0.9 spacing 0.07
set yrange [0:*]
set grid ytics linetype 1 linecolor '#dddddd'
set border 3
set format x ''
set tics nomirror out
set key off
samples = 'build/soak.csv'

# Labels, because a title cannot be at the left edge of a graph.
set label 2 system("sed -n '1s/^# //p' ".samples) at graph 0, graph 1.28
set label 1 'memory of the process, MiB' at graph 0, graph 1.1
plot samples using 1:2 skip 2 with lines linewidth 2 linecolor '#1f77b4'
unset label 2
set label 1 'connections (blue), descriptors (green), goroutines (red)'
plot samples using 1:4 skip 2 with lines linewidth 2 linecolor '#d62728', \
     samples using 1:3 skip 2 with lines linewidth 2 linecolor '#2ca02c', \
     samples using 1:5 skip 2 with lines linewidth 2 linecolor '#1f77b4'
set label 1 'requests a second, without those of the clients that come and go'
set format x '%g'
set xlabel 'seconds since the start'
plot samples using 1:6 skip 2 with lines linewidth 2 linecolor '#2ca02c'
