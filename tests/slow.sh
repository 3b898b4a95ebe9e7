#!/bin/sh
# The slow tests of stopping and resuming: 50 kills, 20 SIGINTs and 20 SIGTERMs at random moments,
# and a save under fault injection. $1: the build folder. Faults are injected by strace; without it
# they are skipped, and the output says so.
#
# A fault is one system call of one save - its n-th write, fsync, rename or open of a file in the
# run's folder - that fails with EIO or ENOSPC, writes nothing, or at which the process is killed.
# After each the run must resume from a whole checkpoint and end with the bytes of an undisturbed
# one.
set -u
B=$1
program=${WEFT_CONVLSTM:-$B/convlstm}
export WF_JIT="${WF_JIT:-off}" WEFT_CONVLSTM="$program"
export WEFT_KILLS="${WEFT_KILLS:-50}" WEFT_SIGNALS="${WEFT_SIGNALS:-40}"
"$B/weft-tests" -j1 --filter 'convlstm_resume/*_at_random_moments' || exit 1

if ! strace -o /dev/null true 2>/dev/null; then
    echo "slow: strace is missing or not allowed here; fault injection is skipped"
    exit 0
fi
dir=$(mktemp -d /tmp/weft-faults-XXXXXX)
trap 'rm -rf "$dir"' EXIT
train() { "$program" train --hidden 2 --frames 4 --clips 10 --batch 2 --threads 1 --steps 4 "$@"; }

train --out "$dir/whole" 2>/dev/null || { echo "slow: the run itself failed"; exit 1; }
want=$(sha256sum <"$dir/whole/checkpoint.safetensors")
train --save-every 1 --steps 3 --out "$dir/base" 2>/dev/null || exit 1
cp "$dir/base/checkpoint.safetensors" "$dir/good"

points=0
bad=0
fail() { echo "slow: $*: $(tail -n 1 "$dir/log")"; bad=1; }

# Call $1 of the next save gets fault $2 at its $3-th time.
try() {
    rm -rf "$dir/run"
    cp -r "$dir/base" "$dir/run"
    # Programs open many files; only those in the run's folder count.
    only=$([ "$1" = openat ] && echo "-P $dir/run" || true)
    strace -f -qq -o /dev/null $only -e "trace=$1" -e "inject=$1:$2:when=$3" \
        "$program" train --resume "$dir/run" --steps 4 --save-every 1 >/dev/null 2>"$dir/log"
    rc=$?
    points=$((points + 1))
    [ $rc -eq 0 ] || [ $rc -eq 137 ] || [ -s "$dir/log" ] || fail "$* failed without a message"
    if ! "$program" train --resume "$dir/run" --steps 4 >/dev/null 2>"$dir/log"; then
        fail "$* cannot be resumed"
    elif [ "$(sha256sum <"$dir/run/checkpoint.safetensors")" != "$want" ]; then
        fail "$* gave another result"
    fi
}

# WEFT_FAULTS: how many times of each call, from the last save of 18 fsyncs, 9 renames and so on.
most=${WEFT_FAULTS:-40}
for kind in "fsync 18" "rename,renameat 9" "openat 20" "write 40"; do
    call=${kind% *}
    last=${kind#* }
    n=$((last > most ? last - most + 1 : 1))
    while [ $n -le $last ]; do
        for fault in error=EIO error=ENOSPC signal=SIGKILL; do try "$call" $fault $n; done
        [ $call = write ] && try write retval=0 $n
        n=$((n + 1))
    done
done
echo "slow: $points faults, $([ $bad -eq 0 ] && echo all survived || echo NOT all survived)"
exit $bad
