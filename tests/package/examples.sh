#!/bin/sh
# examples.sh FOLDER INCLUDE FLAGS..: the examples of README.md and of the headers, compiled without
# a warning and run.
#   - an indented block with a main() is a complete program, unless it stands behind <!-- part -->
#   - an indented block of a header with a line "wf_something(...);", and one of the README after
#     the line <!-- fragment -->, is a fragment: it is put into a program that has compiled a
#     training step `step` with the value `loss`, from the graph `g` and the parameters `p`, and has
#     opened a FILE `file`
# Every program is run in a folder of its own and must exit with 0.
set -u
work=$1
include=$2
shift 2
CC=${CC:-gcc}
bad=0
mkdir -p "$work"
headers=${HEADERS:?the public headers}

# Blocks into files WORK/KIND-NUMBER.c, KIND program or fragment; where they stand on stdout.
extract() {
    awk -v work="$work" '
        function flush_block(   name) {
            if (!part && (main || (fragment && (header || marked)))) {
                name = work "/" (main ? "program" : "fragment") "-" ++n
                printf "%s", text > (name ".c")
                close(name ".c")
                print name, file ":" first
            }
            if (text != "") marked = part = 0
            text = ""; main = fragment = 0
        }
        FNR == 1 { flush_block(); file = FILENAME; header = file ~ /\.h$/; comment = 0 }
        {
            line = $0
            if (header) {
                if (line ~ /^\/\*/) comment = 1
                is = comment && line ~ /^ \*   /
                blank = comment && line ~ /^ \*$/
                sub(/^ \*   /, "", line)
                last = line ~ /\*\//
                if (is) sub(/ *\*\/$/, "", line)
            } else {
                is = line ~ /^    /
                blank = line == ""
                sub(/^    /, "", line)
                last = 0
            }
            if (is || (blank && text != "")) {
                if (text == "") first = FNR
                text = text (is ? line : "") "\n"
                if (line ~ /^int main\(/) main = 1
                if (line ~ /^ *wf_[a-z_]+\(.*\);/) fragment = 1
            } else {
                flush_block()
                if (line ~ /<!-- fragment -->/) marked = 1
                if (line ~ /<!-- part -->/) part = 1
            }
            if (last) { flush_block(); comment = 0 }
        }
        END { flush_block() }' README.md $headers
}

wrap() {
    cat <<'TOP'
#include <nn/nn.h>
static void fragment(wf_graph *g, wf_params *p, wf_program *step, wf_tensor loss, FILE *file) {
TOP
    cat "$1"
    cat <<'END'
}
int main(void) {
    wf_graph *g = wf_graph_new();
    wf_params *p = wf_params_new(1);
    wf_tensor x = wf_full(g, WF_F32, WF_SHAPE(4, 3), 0.5);
    wf_tensor loss = wf_nn_mse(wf_nn_linear(p, "fc", x, (wf_linear_opt){.out = 3}), x);
    wf_program *step;
    FILE *file = fopen("out.txt", "w");
    wf_nn_sgd(p, loss, (wf_optimizer_opt){.lr = 0.1});
    if (!file || wf_compile(&step, g, &loss, 1, (wf_compile_opt){0})) return 1;
    fragment(g, p, step, loss, file);
    if (*wf_error()) fprintf(stderr, "%s\n", wf_error());
    wf_program_free(step);
    wf_graph_free(g);
    wf_params_free(p);
    return fclose(file) != 0 || *wf_error() != 0;
}
END
}

extract > "$work/list"
while read -r name where; do
    case $name in
    */fragment-*) wrap "$name.c" > "$name.wrapped" && mv "$name.wrapped" "$name.c" ;;
    esac
    mkdir -p "$name"
    # Sources say "nn/nn.h" here and <weft/nn.h> once installed.
    if ! $CC -std=gnu11 -O1 -Wall -Wextra -Wno-unused-parameter -Werror -I"$include" "$name.c" \
        -o "$name/example" "$@" > "$name.log" 2>&1; then
        echo "examples: $where does not compile"
        cat "$name.log"
        bad=1
    elif ! (cd "$name" && ./example > out.log 2>&1); then
        echo "examples: $where fails"
        cat "$name/out.log"
        bad=1
    fi
done < "$work/list"
programs=$(grep -c '/program-' "$work/list")
fragments=$(grep -c '/fragment-' "$work/list")
echo "examples: $programs programs and $fragments fragments of README.md and the headers"
# Extraction that finds nothing must not look like success.
[ "$programs" -ge 5 ] && [ "$fragments" -ge 2 ] || { echo "examples: too few were found"; bad=1; }
exit $bad
