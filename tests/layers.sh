#!/bin/sh
# Who may include whom (quoted includes; a folder's own files are always allowed):
#   tensor          tensor            tensor/kernels  no graph: base, array, size, scalar, denormals
#   autograd        tensor            compiler        tensor
#   nn              the public headers of tensor, autograd, compiler
#   models          nn/nn.h and headers under models/
set -u
bad=0
check() { # folder, extended regular expression of what it may include
    for f in $(find "$1" -maxdepth "$3" \( -name '*.[ch]' -o -name '*.inc' -o -name '*.def' \)); do
        out=$(grep -nE '^[ ]*#[ ]*include "' "$f" | grep -vE "include \"($2)\"")
        [ -z "$out" ] || { printf '%s\n' "$out" | sed "s,^,$f:,"; bad=1; }
    done
}
check tensor 'tensor/[a-z0-9_]+\.(h|def|inc)|tensor/kernels/[a-z0-9_]+\.h' 1
check tensor/kernels \
    'tensor/kernels/[a-z0-9_]+\.(h|inc)|tensor/(base|array|size|scalar|denormals)\.h|tensor/ops\.def' 1
check autograd 'autograd/[a-z0-9_]+\.h|tensor/[a-z0-9_]+\.h' 1
check compiler 'compiler/[a-z0-9_]+\.h|tensor/[a-z0-9_]+\.h|tensor/kernels/[a-z0-9_]+\.h' 1
check nn 'nn/[a-z0-9_]+\.h|tensor/tensor\.h|autograd/autograd\.h|compiler/compiler\.h' 1
check models 'nn/nn\.h|models/[a-z0-9_]+/[a-z0-9_]+\.(h|inc)' 2
# One definition: no folder switches on an operation, and nothing is called utils.
found=$(find . -path ./.git -prune -o \( -name '*util*' -o -name 'common*' -o -name 'misc*' \) -print |
    grep -v '^./build' || true)
[ -z "$found" ] || { echo "a folder or file without a concept: $found"; bad=1; }
[ $bad -eq 0 ] && echo "layers: ok"
exit $bad
