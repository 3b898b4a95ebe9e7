#!/bin/sh
# run.sh BUILD: what installing makes, and what a program outside the tree can do with it. Installs
# into a folder of its own, and at the end uninstalls and looks that nothing is left.
# What needs a program that is not here is skipped, with a line that says so.
set -u
B=$1
CC=${CC:-gcc}
here=$(dirname "$0")
work=$(mktemp -d "${TMPDIR:-/tmp}/weft-package-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
stage=$work/stage
root=$stage/opt/weft
bad=0
complain() { echo "package: $*"; bad=1; }
good() { echo "package: $*"; }
# "what" command...: runs it, and shows what it wrote only if it fails.
try() {
    what=$1
    shift
    if "$@" > "$work/log" 2>&1; then good "$what"; else complain "$what failed"; cat "$work/log"; fi
}
have() { command -v "$1" >/dev/null 2>&1 || { good "skipped, no $1 here: $2"; return 1; }; }
WARN="-Wall -Wextra -Wno-unused-parameter -Werror"
export WF_JIT=off # its own tests compile kernels

make --no-print-directory -s B="$B" install PREFIX=/opt/weft DESTDIR="$stage" || exit 1

# --- names --------------------------------------------------------------------------------------
names() { awk 'NF >= 2 {print $NF}' | sort -u; }
nm -D --defined-only "$root/lib/libweft.so" | names > "$work/so"
nm -g --defined-only "$root/lib/libweft.a" | grep -v ':$' | names > "$work/a"
for lib in so a; do
    foreign=$(grep -vE '^(wf|WF)_' "$work/$lib" | tr '\n' ' ')
    [ -z "$foreign" ] || complain "libweft.$lib gives away $foreign"
done
cmp -s "$work/so" "$work/a" || complain "the libraries have different names: $(comm -3 \
    "$work/so" "$work/a" | tr '\n' ' ')"
data=$(nm -D --defined-only "$root/lib/libweft.so" | awk '$2 != "T" {print $NF}' | tr '\n' ' ')
[ -z "$data" ] || complain "libweft.so gives away variables: $data"
# Every function that a header promises is there; no other is.
for h in "$root"/include/weft/*.h; do echo "#include <weft/${h##*/}>"; done > "$work/all.c"
$CC -E -P -I"$root/include" "$work/all.c" | tr '\n' ' ' |
    grep -oE 'visibility\("default"\)\)\) [^;(]*\bwf_[a-z0-9_]+\(' | grep -oE 'wf_[a-z0-9_]+\($' |
    tr -d '(' | sort -u > "$work/promised"
missing=$(comm -23 "$work/promised" "$work/so" | tr '\n' ' ')
[ -z "$missing" ] || complain "declared, but not in the library: $missing"
secret=$(comm -13 "$work/promised" "$work/so" | tr '\n' ' ')
[ -z "$secret" ] || complain "in the library, but in no installed header: $secret"
good "$(wc -l < "$work/so") names, all wf_, the same in both libraries and in the headers"
objdump -p "$root/lib/libweft.so" | grep -q 'SONAME *libweft\.so\.[0-9]*$' || complain "no soname"

# --- headers ------------------------------------------------------------------------------------
for h in "$root"/include/weft/*.h; do
    echo "#include <weft/${h##*/}>" > "$work/one.c"
    $CC -std=gnu11 $WARN -fsyntax-only -I"$root/include" "$work/one.c" ||
        complain "${h##*/} does not compile alone"
    command -v g++ >/dev/null 2>&1 || continue
    g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$root/include" -xc++ \
        "$work/one.c" || complain "${h##*/} is not C++"
done
grep -nE '#include "' "$root"/include/weft/* && complain "a header includes one that is not there"

# --- programs outside the tree ------------------------------------------------------------------
cp "$here"/outside.* "$here"/CMakeLists.txt "$here"/cop*.c "$work"
sed 's,"nn/nn.h",<weft/nn.h>,' models/sequence_classifier/main.c > "$work/classifier.c"
if have pkg-config "programs by pkg-config"; then
    export PKG_CONFIG_PATH="$root/lib/pkgconfig"
    [ "$(pkg-config --modversion weft)" = "$(sed -n 's/^VERSION = //p' Makefile)" ] ||
        complain "weft.pc has another version"
    flags=$(pkg-config --define-prefix --cflags --libs weft)
    fixed=$(pkg-config --define-prefix --cflags --libs --static weft |
        sed "s,-lweft,$root/lib/libweft.a,")
else
    flags="-I$root/include -L$root/lib -lweft"
    fixed="-I$root/include $root/lib/libweft.a -fopenmp -lffi -ljansson -lmd -lz -lm -ldl -lpthread"
fi
export LD_LIBRARY_PATH="$root/lib"
try "build against the shared library" \
    $CC -std=gnu11 -O1 -g $WARN "$work/outside.c" -o "$work/outside" $flags -lm
try "build against the static library" \
    $CC -std=gnu11 -O1 -g $WARN "$work/outside.c" -o "$work/outside_static" $fixed
try "run with the shared library" "$work/outside" "$work"
try "run with the static library" env -u LD_LIBRARY_PATH "$work/outside_static" "$work"
try "build the sequence classifier" \
    $CC -std=gnu11 -O1 $WARN "$work/classifier.c" -o "$work/classifier" $flags -lm
try "run the sequence classifier" "$work/classifier" 400
if have g++ "a C++ program"; then
    try "build as C++" g++ -std=c++11 -Wall -Wextra -Werror "$work/outside.cc" -o "$work/cc" $flags
    try "run as C++" "$work/cc"
fi
if have cmake "a program by CMake"; then
    mkdir "$work/cmake"
    try "CMake finds the package" cmake -S "$work" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$root" \
        -DCMAKE_C_COMPILER="$(command -v ${CC##* })"
    try "CMake builds" cmake --build "$work/cmake"
    try "CMake's program runs" env -u LD_LIBRARY_PATH "$work/cmake/outside" "$work"
    try "CMake's static program runs" env -u LD_LIBRARY_PATH "$work/cmake/outside_static" "$work"
fi
if have valgrind "memory errors and leaks of a program outside"; then
    try "no error and no leak under valgrind" env OMP_NUM_THREADS=2 valgrind -q \
        --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        --error-exitcode=9 "$work/outside" "$work"
fi

# --- examples of README and headers -------------------------------------------------------------
CC="$CC" sh "$here/examples.sh" "$work/examples" . "$B/libweft.a" -fopenmp -lffi -ljansson -lmd \
    -lz -lm -ldl -lpthread || bad=1

# --- copies -------------------------------------------------------------------------------------
# As two shared libraries (of other sonames, or the loader takes the second for the first), and
# inside two objects, which keep the library's names to themselves or not.
whole="-Wl,--whole-archive $root/lib/libweft.a -Wl,--no-whole-archive -Wl,-Bsymbolic-functions"
object() { # file, flags..
    file=$1
    shift
    try "build ${file##*/}" $CC -std=gnu11 -O1 $WARN -fPIC -shared -I"$root/include" \
        -o "$file" "$work/copy.c" "$@"
}
for k in a b; do
    try "build a shared library $k" $CC -shared -Wl,-soname,libcopy_$k.so -o "$work/libcopy_$k.so" \
        $whole $fixed
    object "$work/shared_$k.so" "$work/libcopy_$k.so" -Wl,-rpath,"$work"
    object "$work/open_$k.so" $fixed
    object "$work/closed_$k.so" $fixed -Wl,--exclude-libs,libweft.a
done
try "build the program of copies" $CC -std=gnu11 $WARN "$work/copies.c" -o "$work/copies" -ldl \
    -lpthread
for how in "local shared" "local open" "local closed" "global closed"; do
    set -- $how
    try "two copies in one process: $how" "$work/copies" "$1" "$work/$2_a.so" "$work/$2_b.so"
done

# --- uninstalling -------------------------------------------------------------------------------
echo mine > "$root/include/weft/mine.h"
make --no-print-directory -s B="$B" uninstall PREFIX=/opt/weft DESTDIR="$stage" || bad=1
left=$(cd "$root" && find . -type f -o -type l | tr '\n' ' ')
[ "$left" = "./include/weft/mine.h " ] || complain "after uninstall: $left"
rm "$root/include/weft/mine.h"
make --no-print-directory -s B="$B" uninstall PREFIX=/opt/weft DESTDIR="$stage" || bad=1
left=$(find "$root" -name '*weft*' -path "$root/*" | tr '\n' ' ')
[ -z "$left" ] || complain "after uninstall: $left"
[ $bad -eq 0 ] && echo "package: ok"
exit $bad
