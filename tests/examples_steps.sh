# The programs that train step by step (examples/common/trainer.c); read by tests/examples.sh.
# shellcheck shell=sh disable=SC2154

# steps NAME PATTERN OPTION...: trains in a short form, whose output has PATTERN; then again, with a SIGTERM within.
steps() {
    name=$1
    wanted=$2
    program=$build/examples/$1
    shift 2
    expect 0 'usage: ' "$program" --help
    expect 2 'unknown option "--frobnicate"' "$program" --frobnicate
    expect 2 'whole number from 1' "$program" --steps 0
    expect 2 'expected cpu\|"tpu"' "$program" --device tpu
    expect 1 'No such file\|cannot' "$program" --resume absent.h5
    expect 1 'cannot be written\|No such file' "$program" "$@" --out /proc/none/x.h5
    expect 0 "$wanted" "$program" "$@" --out a.h5 --plot a.svg
    tail -n 1 out >straight
    check "$name: its curves" grep -q '<polyline.*points="[0-9]' a.svg
    check "$name: whole curves" grep -q '^</svg>' a.svg
    rm -f b.h5 out
    "$program" "$@" --out b.h5 --plot b.svg >out 2>err </dev/null &
    pid=$!
    n=0
    while ! grep -qs '^step' out && [ $n -lt 600 ]; do
        sleep 0.05
        n=$((n + 1))
    done
    kill -TERM $pid
    wait $pid
    check "$name: SIGTERM ends it with code 1" [ $? = 1 ]
    check "$name: and a checkpoint" grep -q "SIGTERM after step .* $name --resume b.h5" out
    check "$name: goes on" "$program" --resume b.h5 --plot b.svg >out 2>err </dev/null
    check "$name: to the same end" cmp straight "$(tail -n 1 out >resumed && echo resumed)"
    check "$name: bit for bit" cmp a.h5 b.h5
    check "$name: with the same curves" cmp a.svg b.svg
    expect 2 'contradicts the checkpoint' "$program" --resume b.h5 --seed 77
    expect 2 'further than --steps' "$program" --resume b.h5 --steps 1
    expect 1 'cannot be written\|No such file' "$program" --resume b.h5 --plot /proc/none/x.svg
    full_disk "$program" b.h5
}

small='--hidden 24 --length 16 --batch 4 --eval-every 250'
# shellcheck disable=SC2086
{
    steps charlm 'validation [0-9.]* nats' $small --steps 2000
    expect 0 'gru of 24 units, 2 layers' "$build/examples/charlm" $small --cell gru --layers 2 --dropout 0.2 --steps 4 --out gru.h5
    expect 0 '^/\* The ' "$build/examples/charlm" --generate --resume gru.h5 --sample 20 --prompt '/* The '
    for seed in 3 4 3; do
        "$build/examples/charlm" --generate --resume gru.h5 --sample 30 --seed $seed >out 2>err </dev/null
        check "charlm: writes with seed $seed" [ "$(wc -c <out)" -gt 30 ]
        mv out "seed$seed.$(ls seed$seed.* 2>/dev/null | wc -l)"
    done
    # A checkpoint that is only read need not be one that can be written.
    check 'charlm: writes with what cannot be written' sh -c '"$0" --generate --resume /dev/fd/3 --sample 9 3<gru.h5' "$build/examples/charlm" >out 2>err
    check 'charlm: the seed decides what it writes' sh -c 'cmp seed3.0 seed3.1 && ! cmp -s seed3.0 seed4.0'
    awk 'BEGIN { for (i = 0; i < 90; i++) print "O for a Muse of fire" }' >muse
    expect 0 '^O for a Muse' "$build/examples/charlm" $small --data muse --steps 2 --out muse.h5
    expect 1 'that the text has not: "/"' "$build/examples/charlm" $small --data muse --prompt '/' --out muse.h5
}
expect 2 'needs --resume' "$build/examples/charlm" --generate
expect 1 'needs more' "$build/examples/charlm" --data straight --length 500
steps pinn '^Against the exact solution: relative error [0-9.]*e-0[2-9],' --steps 1500 --eval-every 100 --batch 128
expect 1 'checkpoint of pinn, not of charlm' "$build/examples/charlm" --resume b.h5
expect 1 'checkpoint of another program, not of digits' "$digits" --resume b.h5
expect 1 'checkpoint of another program, not of digits' "$digits" --predict test --resume b.h5
"$digits" --model mlp --epochs 1 --out mlp.h5 >out 2>err </dev/null
expect 1 'checkpoint of another program, not of charlm' "$build/examples/charlm" --resume mlp.h5

# The simulation against an independent program's (tests/reference/cartpole.py), and another's file.
expect 0 '^169 steps, largest difference [0-9.]*e-1[4-7]$' "$build/examples/dqn" --trajectory "$here/reference/cartpole.csv"
sed 's/^\(0,-0.0[0-9]\)/\11/' "$here/reference/cartpole.csv" >far.csv
expect 1 'the simulation differs' "$build/examples/dqn" --trajectory far.csv
expect 1 'No such file' "$build/examples/dqn" --trajectory absent.csv
small='--width 16 --batch 8 --replay 300 --learn-after 50'
# shellcheck disable=SC2086
{
    steps dqn '^100 greedy episodes: mean return [0-9.]* of 500' $small --steps 6000 --eval-every 500
    expect 0 'dqn: 386 parameters' "$build/examples/dqn" $small --algorithm dqn --follow 1 --follow-every 50 --steps 300 --out periodic.h5
    expect 2 'one of double|dqn' "$build/examples/dqn" --algorithm triple
    expect 2 'above 0, at most 1' "$build/examples/dqn" --discount 1.5
}
