#!/bin/bash
# tern-bench itself, and benchmarks/run with a peer that only pretends: commands, results, planted regressions, wrong
# command lines. Nothing here looks at how long anything takes.
#     tests/tern_bench.sh BUILD        a build folder, an installation or a package
set -uo pipefail
build=$(cd "${1:?usage: tests/tern_bench.sh BUILD}" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
bench=$build/benchmarks/tern-bench
[ -x "$bench" ] || bench=$build/bin/tern-bench
[ -x "$bench" ] || { echo "tern_bench: there is no tern-bench in $build"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
complain() { echo "tern_bench: $*"; failed=$((failed + 1)); }

# expect CODE TEXT ARGUMENT...: the exit code, and TEXT in what is printed (out: its file)
expect() {
    local code=$1 text=$2 rc
    shift 2
    "$bench" "$@" >out 2>&1 </dev/null
    rc=$?
    [ $rc -eq "$code" ] || { complain "tern-bench $*: exit code $rc, expected $code"; head -n 5 out; }
    grep -qF -- "$text" out || { complain "tern-bench $*: does not say \"$text\""; head -n 5 out; }
}

# ---- what works ------------------------------------------------------------------------------------------------------

expect 0 'usage: tern-bench' --help
expect 0 'cpu: 1 device' info
expect 0 'matmul/matmul/64' list
expect 0 'cases/softmax' list
expect 0 'models/gpt2_124m_b4_t64' list
expect 0 '768x3072' list --filter matmul/linear # shapes of the inputs are named
expect 0 'GFLOP/s' roofline --quick
expect 0 'overhead/call_add' overhead --quick
expect 0 'TINY SIZES' ops --quick --filter matmul/,conv/,softmax/,norm/,loss/,optimizer/,attention/
! grep -q 'not timed' out || { complain "an op is not timed"; grep 'not timed' out; }
expect 0 'models/gpt2_124m_b4_t64' models --quick
grep 'models/cnn' out | grep -q 'tensors' || complain "models say nothing of memory"
expect 0 'matmul/matmul/33' list --filter matmul/matmul/ --sizes 33,50
! grep -q 'matmul/matmul/64' out || complain "--sizes leaves the rows' own sizes"
expect 0 'f64' list --filter matmul/matmul/ --dtype f64

for command in 'ops --quick --filter matmul/matmul,softmax/' 'models --quick --filter mlp_784_128' \
    'list --json --filter matmul' 'roofline --quick'; do
    # shellcheck disable=SC2086
    "$bench" $command --json >result.json || complain "$command --json fails"
    if command -v python3 >/dev/null; then
        python3 -c '
import json, sys
d = json.load(open("result.json"))
missing = {"library", "commit", "compiler", "date", "processor", "libraries", "device", "threads", "command"} - set(d)
sys.exit(f"missing: {missing}" if missing else 0)' || complain "$command --json"
    fi
done

# The picture has a roof, and the op on it at its place.
expect 0 'matmul/matmul/64' ops --filter matmul/matmul/ --sizes 64 --seconds 0.001 --plot roof.svg
grep -q '</svg>' roof.svg 2>/dev/null || complain "--plot writes no picture"
[ "$(grep -c '<circle' roof.svg)" = 1 ] || complain "--plot: not one op on the roofline"
grep -q 'share' out || complain "no share of the roofline"

# ---- compare ---------------------------------------------------------------------------------------------------------

"$bench" ops --quick --json --filter matmul/matmul >a.json
awk '{ if ($0 ~ /matmul\/256"/) { match($0, /"median": [^,]*/); v = substr($0, RSTART + 10, RLENGTH - 10)
       $0 = substr($0, 1, RSTART + 9) v * 1.5 substr($0, RSTART + RLENGTH) } print }' a.json >b.json
expect 0 '0 slower by more than 10 %' compare a.json a.json
expect 1 '1 slower by more than 10 %' compare a.json b.json
grep 'SLOWER' out | grep -q 'matmul/matmul/256 ' || complain "compare does not name what is slower"
expect 0 '0 slower by more than 60 %' compare a.json b.json --limit 60
expect 0 '0 slower' compare b.json a.json
head -c 700 a.json >cut.json
expect 2 'cut.json, line ' compare a.json cut.json
expect 2 'No such file' compare a.json nothing.json
"$bench" ops --quick --json --filter softmax/ >other.json
expect 2 'no case in common' compare a.json other.json

# ---- peers taking turns ----------------------------------------------------------------------------------------------

printf 'open matmul/matmul/64 forward f32\nrun\nopen matmul/matmul/64 forward f32\nclose\nopen x forward f32\nnonsense\n' |
    "$bench" serve --quick >out
printf 'ok\nok\nerror\nok\nerror\nerror\n' | cmp -s - <(cut -d' ' -f1 out) || { complain "serve"; cat out; }
[ "$("$bench" memory --quick --filter models/mlp_784_64_10_b64 | wc -w)" = 2 ] || complain "memory"

# ---- command lines that make no sense --------------------------------------------------------------------------------

expect 2 'usage: tern-bench'
expect 2 'there is no command nonsense' nonsense
expect 2 'there is no option --nonsense' ops --nonsense
expect 2 '--filter without a value' ops --filter
expect 2 '--dtype i64: expected f64, f32, f16 or bf16' ops --dtype i64
expect 2 '--device gpu: expected cpu, cuda' ops --device gpu
expect 2 '--sizes 0: expected' ops --sizes 0
expect 2 '--sizes 1,x: expected' ops --sizes 1,x
expect 2 '--sizes 1.5: expected' ops --sizes 1.5
expect 2 '--threads 0: expected 1 to 4096' ops --threads 0
expect 2 '--seconds -1: expected' ops --seconds -1
expect 2 'is too much' ops again
expect 2 'compare takes two files' compare a.json
expect 2 'nothing has that name' ops --filter no_such_row
expect 1 'cannot be written' ops --filter matmul/matmul/ --sizes 8 --seconds 0.001 --plot no/such/folder.svg
"$bench" info --device cuda:63 >/dev/null 2>&1 || expect 1 'cannot be used' ops --device cuda:63

# ---- benchmarks/run, beside a peer of constant times -----------------------------------------------------------------

cat >peer <<'END'
#!/bin/bash
[ "$1" != -c ] || { echo pretended; exit; }
while read -r word _; do
    case $word in
    run) echo "ok $PEER_SECONDS" ;;
    memory) echo 'ok 100000000 100000000' ;;
    *) echo 'ok 1' ;;
    esac
done
END
chmod +x peer
printf '1 always\tmatmul/matmul_tiny/8 forward\tseconds\teach\t<=1e9\n1 never\tmatmul/matmul_tiny/8 forward\tratio\teach\t>=1e9\n' >goals.tsv

# together SECONDS: one run beside the peer
together() {
    PEER_SECONDS=$1 python3 "$root/benchmarks/run" --build "$build" --python "$work/peer" --goals goals.tsv --rounds 1 \
        --pause 0 --out results >out 2>&1 || { complain "benchmarks/run fails"; cat out; }
}
if command -v python3 >/dev/null && [ -e "$root/benchmarks/run" ]; then
    together 1
    grep -q 'always.*yes' out && grep -q 'never.*no' out || { complain "benchmarks/run: goals"; cat out; }
    grep -q 'Behind in "1 never"' out || complain "benchmarks/run does not name what is behind"
    [ "$(wc -l <results/history.tsv)" = 2 ] || complain "no history"
    ! grep -q 'Fallen' results/*.md || complain "a ratio fell in the first run"
    together 1e-6
    grep -q 'Fallen since the last run' results/*.md && grep -q 'matmul_tiny/8 forward: ratio' results/*.md ||
        complain "benchmarks/run does not report a ratio that fell"
else
    echo "skipped: benchmarks/run (no python3, or not here)"
fi

[ $failed -eq 0 ] && echo "tern_bench: all holds"
exit $((failed > 0))
