#!/bin/sh
# What several threads do at once, under ThreadSanitizer: the tests of threads, feeds and programs,
# without Criterion (tests/tsan), whose processes cannot start under it. clang and its libomp with
# Archer, which tells the sanitizer of OpenMP's barriers; gcc's libgomp gives false reports. A canary
# that races must turn the run red.
set -u
B=${B:-build}/tsan
CLANG=${CLANG:-clang}
SAN="-fsanitize=thread -fno-omit-frame-pointer"
TESTS="test_threads test_nn_source test_compiler_program"
command -v "$CLANG" >/dev/null 2>&1 || { echo "tsan: skipped, no $CLANG here"; exit 0; }
export TSAN_OPTIONS="ignore_noninstrumented_modules=1:halt_on_error=1:exitcode=66:allocator_may_return_null=1"
export WF_JIT=off OMP_NUM_THREADS=2
jobs=$(nproc 2>/dev/null || echo 2)
mkdir -p "$B"

"$CLANG" -O1 -g $SAN -fopenmp -o "$B/canary" tests/canary/race.c >"$B/canary.log" 2>&1 ||
    { echo "tsan: skipped, $CLANG has no ThreadSanitizer or no OpenMP here"; exit 0; }
"$B/canary" quiet >"$B/canary.log" 2>&1 || {
    # Without Archer, or where the kernel's address layout does not suit the sanitizer.
    echo "tsan: skipped, a program without a race is reported here"
    exit 0
}
if "$B/canary" race >"$B/canary.log" 2>&1; then
    echo "tsan: the racing canary passed; the detector is not armed"
    exit 1
fi

make --no-print-directory -j"$jobs" B="$B" CC="$CLANG" OPT="-O1 -g" CFLAGS="$SAN" "$B/libweft.a" ||
    exit 1
"$CLANG" -std=gnu11 -O1 -g -w $SAN -fopenmp -Itests/tsan -I. -o "$B/tsan-tests" tests/tsan/main.c \
    $(for t in $TESTS; do echo "tests/$t.c"; done) \
    "$B/libweft.a" -lffi -ljansson -lmd -lz -lm -ldl -lpthread || exit 1
n=0
for t in $("$B/tsan-tests"); do
    "$B/tsan-tests" "$t" >"$B/log" 2>&1 || { echo "tsan: $t fails"; cat "$B/log"; exit 1; }
    n=$((n + 1))
done
[ "$n" -ge 8 ] || { echo "tsan: only $n tests ran"; exit 1; }
echo "tsan: $n tests, no race"
