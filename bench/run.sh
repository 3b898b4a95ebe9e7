#!/bin/sh
# The quick set of benchmarks in build folder $1, about 5 minutes: each verifies, then times.
set -u
bad=0
for b in "$1"/bench_*; do
    [ -x "$b" ] && [ -f "$b" ] || continue
    case $b in *.o | *.d) continue ;; esac
    echo "== $(basename "$b")"
    "$b" || { echo "$(basename "$b"): failed"; bad=1; }
done
exit $bad
