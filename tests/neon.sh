#!/bin/sh
# The kernels for 64-bit ARM against plain C (tests/neon): built by a cross compiler as one static
# program and run by qemu's user emulation, or built and run at home where home is such a machine.
#   CROSS=aarch64-linux-gnu-gcc   QEMU=qemu-aarch64
set -u
B=${B:-build}/neon
QEMU=${QEMU-qemu-aarch64}
case $(${CC:-cc} -dumpmachine 2>/dev/null) in
aarch64-* | arm64-*)
    CROSS=${CROSS:-${CC:-cc}}
    QEMU=
    ;;
*) CROSS=${CROSS:-aarch64-linux-gnu-gcc} ;;
esac
for tool in $CROSS $QEMU; do
    command -v "$tool" >/dev/null 2>&1 || {
        echo "neon: skipped, no $tool here (apt-get install gcc-aarch64-linux-gnu" \
            "libc6-dev-arm64-cross qemu-user)"
        exit 0
    }
done
jobs=$(nproc 2>/dev/null || echo 2)
objects=$(for f in tensor/base.c tensor/shape.c tensor/kernels/*.c tests/neon/main.c; do
    echo "$B/${f%.c}.o"
done)
mkdir -p "$B"
make --no-print-directory -s -j"$jobs" B="$B" CC="$CROSS" $objects || exit 1
printf 'int main(void) { return 0; }\n' | $CROSS -static -xc - -o "$B/static" 2>/dev/null &&
    static=-static || static=
$CROSS $static -o "$B/neon-tests" $objects -lm -lpthread || exit 1

choice() { # what WF_ISA=$1 must choose
    is=$(WF_ISA=$1 $QEMU "$B/neon-tests" isa 2>/dev/null)
    [ "$is" = "$2" ] || { echo "neon: WF_ISA=$1 chooses '$is', not $2"; exit 1; }
}
choice "" neon
choice neon neon
choice scalar scalar
choice avx2 neon
$QEMU "$B/neon-tests" >"$B/log" 2>&1 || { cat "$B/log"; echo "neon: failed"; exit 1; }
grep '^neon: micro kernels [1-9].* rows [1-9].* reductions [1-9]' "$B/log" ||
    { cat "$B/log"; echo "neon: the kernels were not tested"; exit 1; }
