#!/bin/sh
# The tests under AddressSanitizer (with leaks) and UndefinedBehaviorSanitizer, with the verifier of
# passes and plans switched on, after the canaries.
# abort_on_error: Criterion reports a leak found at exit as success otherwise.
set -u
B=${B:-build}/san
SAN="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1
jobs=$(nproc 2>/dev/null || echo 2)

mkdir -p "$B"
gcc -O1 -g $SAN -w -o "$B/canary" tests/canary/canary.c -lcriterion || exit 1
"$B/canary" -j1 --filter canary/passing >"$B/canary.log" 2>&1 ||
    { echo "san: the passing canary failed"; cat "$B/canary.log"; exit 1; }
for t in failing leaking out_of_bounds undefined; do
    if "$B/canary" -j1 --filter "canary/$t" >"$B/canary.log" 2>&1; then
        echo "san: the canary '$t' passed; the detector is not armed"
        cat "$B/canary.log"
        exit 1
    fi
done
# A filter that matches nothing is a success to Criterion; the floor must make it a failure.
mkdir -p "$B/none"
printf '#!/bin/sh\nexec "%s" -j1 --filter canary/nothing\n' "$B/canary" > "$B/none/weft-tests"
chmod +x "$B/none/weft-tests"
if sh tests/run.sh "$B/none" >"$B/canary.log" 2>&1 || ! grep -q 'only 0 ran' "$B/canary.log"; then
    echo "san: a run without tests passed"
    cat "$B/canary.log"
    exit 1
fi
echo "san: the canaries turn the run red"

make --no-print-directory -j"$jobs" B="$B" OPT="-O1 -g" CFLAGS="$SAN -DWF_DEBUG_CHECKS" \
    "$B/weft-tests" "$B/convlstm" "$B/plugin" "$B/mish.so" "$B/sequence_classifier" || exit 1
# Parity needs the full model and its speed; the sanitizers see the small one.
WEFT_TEST_DATA= WEFT_TEST_QUICK=1 sh tests/run.sh "$B" || exit 1
echo "san: ok"
