#!/bin/sh
# What a reader should not have to look for: files given as arguments.
#   - no warning from gcc, nor from clang where it is installed
#   - public headers compile alone, as C and as C++
#   - files at most 600 lines (of a model 300), lines at most 100 columns, no tabs, no unfinished business
#   - size arithmetic in loaders and shape rules goes through tensor/size.h
set -u
bad=0
complain() { echo "lint: $*"; bad=1; }

for f in "$@"; do
    n=$(wc -l < "$f")
    [ "$n" -le 600 ] || complain "$f has $n lines; split it by concept (600)"
done
for f in "$@"; do
    case $f in
    models/program/* | models/moving_mnist/* | models/text/*) ;; # what models share
    models/*.c) [ "$(wc -l < "$f")" -le 300 ] || complain "$f, of a model, is longer than 300" ;;
    esac
done
wide=$(awk 'length($0) > 100 {print FILENAME ":" FNR ": longer than 100 columns"}' "$@")
[ -z "$wide" ] || complain "$wide"
tabs=$(grep -nP '\t' "$@" | head -n 5)
[ -z "$tabs" ] || complain "tabs: $tabs"
words=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' "$@" | head -n 5)
[ -z "$words" ] || complain "unfinished: $words"
raw=$(grep -nE '(malloc|calloc|realloc|mmap)\([^;]*(dim|count|rank)[^;]*\*' tensor/safetensors*.c \
    tensor/npy.c tensor/json_scan.c tensor/shape.c 2>/dev/null)
[ -z "$raw" ] || complain "sizes multiplied outside tensor/size.h: $raw"

flags="-std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
    -Wvla -Wno-unused-parameter -Werror -fsyntax-only -fopenmp -I."
for h in tensor/tensor.h tensor/array.h tensor/op.h tensor/graph.h autograd/autograd.h \
    compiler/compiler.h nn/nn.h nn/checkpoint.h nn/source.h nn/trainer.h; do
    printf '#include "%s"\n' "$h" | gcc $flags -xc - || complain "$h does not compile alone"
    if command -v g++ >/dev/null 2>&1; then
        printf '#include "%s"\nint main() { return WF_SHAPE(2, 3).rank == 2 ? 0 : 1; }\n' "$h" |
            g++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only -I. -xc++ - ||
            complain "$h is not C++"
    fi
done

jobs=$(nproc 2>/dev/null || echo 2)
sources=$(printf '%s\n' "$@" | grep '\.c$')
avx512="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma"
isa_flags() {
    case $1 in
    *_avx2.c) echo "-O3 -mavx2 -mfma" ;;
    *_avx512.c) echo "-O3 $avx512" ;;
    *_avx512bf16.c) echo "-O3 $avx512 -mavx512bf16" ;;
    *_amx.c) echo "-O3 $avx512 -mamx-tile -mamx-bf16" ;;
    esac
}
case $(uname -m) in x86_64 | amd64) ;; *) isa_flags() { :; } ;; esac
for cc in gcc clang; do
    command -v $cc >/dev/null 2>&1 || { echo "lint: no $cc here, its warnings are not checked"; continue; }
    # gcc sees some warnings only when it optimises.
    [ $cc = gcc ] && how="-O2 -c -o /dev/null" || how="-fsyntax-only"
    clean=$(printf '%s' "$flags" | sed 's/-fsyntax-only//')
    printf '#include <omp.h>\nint main(void) { return 0; }\n' | $cc -fopenmp -xc - -fsyntax-only \
        2>/dev/null || { echo "lint: $cc has no OpenMP here, its warnings are not checked"; continue; }
    for f in $sources; do printf '%s %s %s %s\n' "$clean" "$how" "$(isa_flags "$f")" "$f"; done |
        xargs -P "$jobs" -L 1 $cc || complain "$cc warns"
done
[ $bad -eq 0 ] && echo "lint: ok"
exit $bad
