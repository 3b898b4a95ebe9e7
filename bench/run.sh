#!/bin/sh
# Benchmarks in build folder $1: $2 is "quick" (at most 5 minutes) or "peers" (what takes longer,
# and other libraries' sides: oneDNN, OpenBLAS, PyTorch through the Python $4 where it has torch).
# Each verifies, then times, and writes its rows to $3/NAME.json; the end is one table of them.
#
# A peer that is missing leaves its columns empty: apt install libopenblas-dev libdnnl-dev, and
# pip install torch.
set -u
build=$1 set=$2 results=$3 python=${4:-python3}
bad=0
began=$(date +%s)
mkdir -p "$results" || exit 1
export WF_BENCH_JSON="$results" PYTHON="$python"

# run NAME ARGUMENTS: where it was built.
run() {
    name=$1
    shift
    [ -x "$build/$name" ] || return 0
    echo "== $name $*"
    "$build/$name" "$@" || { echo "$name: failed"; bad=1; }
}

case $set in
quick)
    run bench_peak
    run bench_pointwise --quick
    run bench_matmul --quick
    run bench_conv_peers --quick
    run bench_contract
    run bench_scalar 997
    run bench_step
    run bench_around
    run bench_eager
    run bench_compiler 1
    ;;
peers)
    run bench_peak
    run bench_pointwise
    run bench_matmul
    run bench_conv_peers
    run bench_train
    run bench_infer
    run bench_scale
    run bench_memory
    run bench_accuracy
    if "$python" -c 'import torch' 2>/dev/null; then
        echo "== eager.py"
        WF_JIT=sync "$python" bench/eager.py "$build/bench_eager" || bad=1
    fi
    ;;
esac
echo "== ratios (best runs; above 1: ahead of the peer), $(($(date +%s) - began)) s in all"
"$build/bench_ratios" "$results"/*.json || bad=1
exit $bad
