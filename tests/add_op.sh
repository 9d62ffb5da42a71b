#!/bin/bash
# A new elementwise op by two edits, and tests that turn red: in a scratch copy of the working tree
#   1. adds cube to core/elementwise.def and core/pointwise.h, nothing else, and shows that its forward, gradcheck and benchmark
#      cases have appeared and pass;
#   2. plants a wrong slope, a stride off by one, a leak and a write out of bounds, and shows that the tests fail each time.
# Ends with 0 if all of it is so.    tests/add_op.sh [FOLDER]     the scratch folder, if it shall stay
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -gt 0 ]; then
    mkdir -p "$1" && work=$(cd "$1" && pwd) || exit 1
else
    work=$(mktemp -d) || exit 1
    trap 'rm -rf "$work"' EXIT
fi
copy=$work/tern
mkdir -p "$copy"
(cd "$root" && git ls-files -co --exclude-standard -z | tar --null -T - -cf -) | tar -xf - -C "$copy" || exit 1
cd "$copy" || exit 1

say() { printf '== %s\n' "$*"; }
die() { echo "add_op: $*" >&2; exit 1; }

# Only one CPU level: quicker to build.
configure() { cmake -S . -B "$1" -G Ninja -DTERN_CPU_LEVELS=base -DTERN_CUDA=OFF -DTERN_EXAMPLES=OFF "${@:2}" >"$1.log" 2>&1 || die "$(cat "$1.log")"; }
build() { cmake --build "$1" --target "${@:2}" >"$1.log" 2>&1 || { tail -n 40 "$1.log"; die "it does not build"; }; }
# run BUILD FILTER: the sweep's tests that match. Criterion passes a filter that matches nothing, so the count is looked at.
run() {
    timeout 600 "$1/tests/test-sweep" --filter "sweep/$2" -j2 >"$work/out" 2>&1
    local rc=$?
    grep -q 'Tested: [1-9]' "$work/out" || { cat "$work/out"; die "no test matched $2"; }
    return $rc
}
green() { run "$1" "$2" || { tail -n 40 "$work/out"; die "$3"; }; }
red() {
    run "$1" "$2" && die "$3 was planted, and the tests stayed green"
    grep -m3 -E 'FAIL|damaged|Sanitizer|alive' "$work/out" | cut -c1-160
    say "red, as it must be: $3"
}
# plant FILE PYTHON-EXPRESSION-OF-s: changes a file, and insists that it changed.
plant() {
    python3 - "$1" "$2" <<'END' || die "could not change $1"
import re, sys
path, expression = sys.argv[1:]
s = open(path).read()
new = eval(expression)
assert new != s, path
open(path, "w").write(new)
END
}
cases() { sed -n 's/^sweep: \([0-9]*\) cases$/\1/p' "$work/out"; }

say "before"
configure plain -DCMAKE_BUILD_TYPE=Release
build plain tern test-sweep tern-bench
green plain 'elementwise_*' "the tests fail before anything was changed"
before=$(cases)

say "cube: a row in core/elementwise.def, a prototype in core/pointwise.h"
plant core/elementwise.def 's.replace("TERN_UNARY   ( positive, ", """TERN_UNARY   ( cube,      F, -3,    3,
    x * x * x,  K(3) * x * x,  K(6) * x )
TERN_UNARY   ( positive, """, 1)'
plant core/pointwise.h 're.sub(r"(TERN_API tern_tensor \*tern_square\()", "TERN_API tern_tensor *tern_cube(tern_tensor *x); /* x^3 */\nTERN_API tern_tensor *tern_cube_(tern_tensor *t);\n\\1", s, count=1)'
build plain tern test-sweep tern-bench
green plain 'elementwise_*' "cube fails its tests"
after=$(cases)
[ "$after" -gt "$before" ] || die "no case has appeared: $before before, $after after"
grep -q '^cube: no reference' "$work/out" || die "the sweep does not name cube"
plain/benchmarks/tern-bench ops --quick --filter cases/cube | grep '^cases/cube ' || die "the benchmark does not have cube"
say "$((after - before)) cases of cube have appeared in the sweep, and a row in the benchmark"

say "cube with a wrong slope"
plant core/elementwise.def 's.replace("K(3) * x * x", "K(2) * x * x", 1)'
build plain tern test-sweep
red plain 'elementwise_*' "a wrong slope"
plant core/elementwise.def 's.replace("K(2) * x * x", "K(3) * x * x", 1)'

say "a loop over strided views that goes one stride too far back"
cp cpu/loop.c "$work/loop.c"
plant cpu/loop.c 's.replace("carry ? -(l->shape[d] - 1) : 1", "carry ? -l->shape[d] : 1", 1)'
build plain tern test-sweep
red plain 'clone' "a stride off by one"
cp "$work/loop.c" cpu/loop.c

say "a tensor that is never released"
cp core/ops/matmul.c "$work/matmul.c"
plant core/ops/matmul.c 're.sub(r"(\ntern_tensor \*tern_matmul\([^)]*\) \{\n)", "\\1    tern_keep(a);\n", s, count=1)'
build plain tern test-sweep
red plain 'matmul' "a leaked tensor"
cp "$work/matmul.c" core/ops/matmul.c

say "a kernel that writes one element too far"
plant cpu/softmax.inc 's.replace("X(row_to)(s, y, j->c, X(scaled_at)", "X(row_to)(s, y, j->c + 1, X(scaled_at)", 1)'
build plain tern test-sweep
red plain 'softmax' "a write out of bounds"

say "the same two under AddressSanitizer"
configure asan -DCMAKE_BUILD_TYPE=Debug -DTERN_SANITIZE=ON
build asan tern test-sweep
red asan 'softmax' "a write out of bounds (AddressSanitizer)"
plant core/ops/matmul.c 're.sub(r"(\ntern_tensor \*tern_matmul\([^)]*\) \{\n)", "\\1    terni_malloc(24);\n", s, count=1)'
build asan tern test-sweep
red asan 'matmul' "a leaked block (LeakSanitizer)"
say "all of it was seen"
