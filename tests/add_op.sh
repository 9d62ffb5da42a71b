#!/bin/bash
# A new elementwise op by two edits, and tests that turn red: in a scratch copy of the working tree
#   1. adds sinh to core/elementwise.def and core/ops.h, nothing else, and shows that its forward, gradcheck and benchmark
#      cases have appeared and pass;
#   2. plants a wrong slope, then a leak, then a write out of bounds, and shows that the tests fail each time.
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

# One CPU level is enough here, and is quicker to build.
configure() { cmake -S . -B "$1" -G Ninja -DTERN_CPU_LEVELS=base -DTERN_EXAMPLES=OFF "${@:2}" >"$1.log" 2>&1; }
build() { cmake --build "$1" --target "${@:2}" >"$1.log" 2>&1 || { tail -n 40 "$1.log"; die "it does not build"; }; }
sweep() { ctest --test-dir "$1" --no-tests=error --output-on-failure -R '^sweep$' >"$1.tests" 2>&1; }
