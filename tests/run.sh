#!/bin/sh
# Runs the test binary in build folder $1, in one process at a time, and makes sure that tests ran:
# Criterion returns success when a filter or a broken registration leaves none.
# The floor is the number of tests that were there when it was last raised.
set -u
floor=${WEFT_TEST_FLOOR:-$(cat tests/floor)}
B=$1
log=$B/tests.log
# Generated code has its own tests; elsewhere hundreds of small programs would only start compilers.
export WF_JIT="${WF_JIT:-off}"
export WEFT_PLUGIN="${WEFT_PLUGIN:-$B/plugin $B/mish.so}"
export WEFT_SEQUENCE_CLASSIFIER="${WEFT_SEQUENCE_CLASSIFIER:-$B/sequence_classifier}"
export WEFT_CONVLSTM="${WEFT_CONVLSTM:-$B/convlstm}"
{ "$B/weft-tests" -j1 2>&1; echo $? > "$log.rc"; } | tee "$log"
rc=$(cat "$log.rc")
ran=$(sed -n 's/.*Tested:[^0-9]*\([0-9][0-9]*\).*/\1/p' "$log" | tail -n 1)
if [ "$rc" -ne 0 ]; then
    echo "tests: failed (exit $rc)" >&2
    exit 1
fi
if [ "${ran:-0}" -lt "$floor" ]; then
    echo "tests: only ${ran:-0} ran, at least $floor are expected" >&2
    exit 1
fi
