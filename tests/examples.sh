#!/bin/sh
# The example programs from outside: exit codes, messages, interruption, kills, bad files, full disks.
#     tests/examples.sh BUILD [short|full]
# BUILD is a build folder. full (the default is short) kills 200 times instead of 10 and trains on MNIST, if TERN_DATA
# names the folder that holds mnist/. What the machine does not allow is skipped, and said.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
build=$(cd "$1" && pwd) || exit 2
mode=${2:-short}
digits=$build/examples/digits
mnist=$build/examples/mnist
if [ ! -x "$digits" ] || [ ! -x "$mnist" ]; then
    echo "tests/examples.sh: no examples in $build" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'umount "$work/small" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 2
passed=0
failed=0

fail() {
    failed=$((failed + 1))
    echo "FAILED: $1"
    [ ! -s out ] || sed 's/^/    out: /' out | tail -n 8
    [ ! -s err ] || sed 's/^/    err: /' err | tail -n 8
}

pass() { passed=$((passed + 1)); }

# check WHAT COMMAND...: the command must succeed.
check() {
    what=$1
    shift
    if "$@"; then pass; else fail "$what"; fi
}

skip() { echo "skipped: $1"; }

# expect CODE PATTERN COMMAND...: runs it; its exit code must be CODE, and a line of its output match PATTERN. What goes to
# files has no control characters.
expect() {
    code=$1
    pattern=$2
    shift 2
    "$@" >out 2>err </dev/null
    got=$?
    if [ $got != "$code" ]; then
        fail "$*: exit code $got, expected $code"
    elif ! cat out err | grep -q -e "$pattern"; then
        fail "$*: no line with \"$pattern\""
    elif cat out err | LC_ALL=C grep -q '[[:cntrl:]]'; then
        fail "$*: control characters in the output"
    elif [ "$code" != 0 ] && [ ! -s err ]; then
        fail "$*: nothing on stderr"
    else
        pass
    fi
}

no_file() {
    for f in "$@"; do
        [ ! -e "$f" ] || return 1
    done
}

# Nothing but the named files stands in a folder: no temporary file was left.
only() {
    [ "$(cd "$1" && find . -type f | sort | tr '\n' ' ')" = "$2" ]
}

# full_disk PROGRAM CHECKPOINT: neither the checkpoint nor the curves fit; what was there stays whole.
full_disk() {
    if [ -c /dev/full ]; then
        expect 1 'No space left' "$1" --resume "$2" --plot /dev/full
    else
        skip 'curves on a full device: no /dev/full'
    fi
    mkdir -p small
    if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=4m tmpfs small 2>/dev/null; then
        skip 'a full disk: mounting a small tmpfs needs root'
        return
    fi
    cp "$2" small/x.h5
    head -c 5000000 /dev/zero >small/fill 2>/dev/null
    expect 1 'small/x.h5' "$1" --resume small/x.h5
    check "$1: the checkpoint before is intact" cmp small/x.h5 "$2"
    check "$1: no temporary file was left" only small './fill ./x.h5 '
    umount small
}

# ---- usage ----------------------------------------------------------------------------------------------------------

for p in "$digits" "$mnist"; do
    expect 0 'Exit codes: 0' "$p" --help
    expect 2 'unknown option "--epoch", did you mean --epochs' "$p" --epoch 3
    expect 2 'unknown option "--frobnicate"' "$p" --frobnicate
    expect 2 'unknown option "-x"' "$p" -x
    expect 2 '"5" is not an option' "$p" 5
    expect 2 'lists the options' "$p" --epochs
    expect 2 'needs an argument' "$p" --epochs --batch 5
    expect 2 'whole number from 1' "$p" --epochs 0
    expect 2 'whole number from 1' "$p" --epochs 2.5
    expect 2 'whole number from 1' "$p" --epochs ''
    expect 2 'whole number from 1' "$p" --epochs ' 3'
    expect 2 'whole number from 1' "$p" --epochs 99999999999999999999
    expect 2 'whole number from 1' "$p" --batch -4
    expect 2 'whole number from 0' "$p" --workers 1000
    expect 2 'whole number from 0' "$p" --threads x
    expect 2 'whole number from 0' "$p" --seed -1
    expect 2 'number above 0' "$p" --lr 0
    expect 2 'number above 0' "$p" --lr nan
    expect 2 'number above 0' "$p" --lr=1e-3x
    expect 2 'one of mlp|cnn' "$p" --model rnn
    expect 2 'one of mlp|cnn' "$p" --model 'mlp|cnn'
    expect 2 'expected auto, cpu' "$p" --device tpu
    expect 2 'out is empty' "$p" --out ''
    expect 2 'takes no argument' "$p" --help=yes
done
# shellcheck disable=SC2016
check 'nothing was written by wrong usage' only . './err ./out '

# ---- what cannot be done --------------------------------------------------------------------------------------------

expect 1 'nowhere/x.h5' "$digits" --out nowhere/x.h5
expect 1 'nowhere/x.svg' "$digits" --model mlp --epochs 1 --out p.h5 --plot nowhere/x.svg
: >file
expect 1 'file/x.h5' "$digits" --out file/x.h5
expect 1 'No such file\|cannot' "$digits" --resume absent.h5
expect 1 'No such file\|cannot' "$digits" --predict test --resume absent.h5
"$digits" --device cuda --epochs 1 --out cuda.h5 >out 2>err
case $? in
    0) skip 'a device that is not there: this machine has a GPU' ;;
    1) check '--device cuda says why not' grep -qi cuda err ;;
    *) fail '--device cuda' ;;
esac
rm -f cuda.h5
if [ -c /dev/full ]; then
    "$digits" --help >/dev/full 2>err
    check 'output to a full device fails' [ $? = 1 ]
else
    skip 'output to a full device: no /dev/full'
fi

# ---- training, and going on -----------------------------------------------------------------------------------------

# Both files' networks, optimizers and positions are the same to the last bit. The files themselves are compared: nothing
# in them depends on when they were written.
same() { cmp "$1" "$2" >&2; }

expect 0 'Test accuracy' "$digits" --model mlp --epochs 4 --out straight.h5
check 'one line an epoch' [ "$(grep -c '^epoch' out)" = 4 ]
check 'a table of classes' grep -q precision out
check 'a confusion matrix' grep -q predicted out
check 'curves' [ "$(grep -c '<polyline' digits.svg)" = 3 ]
mv digits.svg straight.svg
expect 0 'stopped after\|Stopped after 2 of 4' "$digits" --model mlp --epochs 4 --stop-after 2 --out half.h5 --workers 1
line=$(grep -- '--resume half.h5' out)
check 'the command to go on is said' [ -n "$line" ]
expect 0 'Test accuracy' sh -c "$line"
check 'straight and resumed runs are the same' same straight.h5 half.h5
check 'and so are their curves' same straight.svg digits.svg
expect 0 'Test accuracy' "$digits" --resume half.h5
for model in mlp cnn; do
    for optim in adamw adam sgd; do
        for workers in 0 1 4; do
            what="$model $optim with $workers workers"
            set -- --model $model --optim $optim --epochs 2 --workers $workers
            [ $workers != 0 ] || expect 0 'Test accuracy' "$digits" "$@" --out a.h5
            expect 0 'Stopped after 1' "$digits" "$@" --stop-after 1 --out b.h5
            expect 0 'Test accuracy' "$digits" --resume b.h5 --workers $workers
            check "$what: straight and resumed are the same" same a.h5 b.h5
        done
        [ "$mode" = full ] || [ $optim$model != adamwcnn ] || break
    done
done
expect 0 'Test accuracy' "$digits" --model mlp --schedule constant --epochs 4 --out a.h5
expect 0 'Test accuracy' "$digits" --model mlp --schedule constant --epochs 2 --out b.h5
expect 0 'Test accuracy' "$digits" --resume b.h5 --epochs 4
expect 2 'contradicts the checkpoint' "$digits" --resume b.h5 --model cnn
expect 2 'contradicts the checkpoint' "$digits" --resume b.h5 --lr 0.1
expect 2 'contradicts the checkpoint' "$digits" --predict test --resume b.h5 --model cnn
expect 2 'behind it' "$digits" --resume b.h5 --epochs 1
expect 1 'data set "digits"' "$mnist" --resume b.h5
expect 1 'data set "digits"' "$mnist" --predict test --resume b.h5
expect 1 'diverged' "$digits" --model mlp --optim sgd --lr 100 --epochs 3 --out diverged.h5

# ---- signals --------------------------------------------------------------------------------------------------------

for signal in INT TERM; do
    rm -f s.h5
    # A shell lets its background processes ignore SIGINT; a program of our own must take it nevertheless.
    "$digits" --epochs 1000 --out s.h5 --model cnn >out 2>err &
    pid=$!
    n=0
    while ! grep -q '^epoch 1/' out && [ $n -lt 300 ]; do
        sleep 0.1
        n=$((n + 1))
    done
    sleep 0.05
    kill -$signal $pid
    wait $pid
    check "SIG$signal ends with 1" [ $? = 1 ]
    check "SIG$signal says so" grep -q "SIG$signal: stopped after" out
    line=$(grep -- '--resume s.h5' out)
    expect 0 'Stopped after' sh -c "$line --stop-after 3"
done
# Stopped in the middle of an epoch, and gone on with: as if nothing had been.
expect 0 'Test accuracy' "$digits" --model cnn --epochs 2 --out a.h5
rm -f b.h5
"$digits" --model cnn --epochs 2 --checkpoint-every 1 --out b.h5 >out 2>err &
pid=$!
while [ ! -e b.h5 ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
kill -TERM $pid
wait $pid
check 'stopped early' [ $? = 1 ]
expect 0 'Test accuracy' "$digits" --resume b.h5
check 'stopped in an epoch and resumed: the same' same a.h5 b.h5

# ---- kills ----------------------------------------------------------------------------------------------------------

kills=10
[ "$mode" != full ] || kills=200
mkdir kills
inode() {
    # shellcheck disable=SC2012
    ls -i kills/k.h5 | awk '{ print $1 }'
}
"$digits" --model mlp --epochs 100000 --stop-after 1 --out kills/k.h5 >out 2>err || fail 'a first checkpoint'
k=0
bad=0
while [ $k -lt $kills ]; do
    k=$((k + 1))
    before=$(inode)
    "$digits" --resume kills/k.h5 --checkpoint-every 1 >out 2>err &
    pid=$!
    # From its first checkpoint on it does little but write them: then the kill comes.
    n=0
    while [ "$(inode)" = "$before" ] && [ $n -lt 3000 ]; do
        sleep 0.01
        n=$((n + 1))
    done
    sleep "0.$(awk -v k=$k 'BEGIN { srand(k); printf "%03d", 100 * rand() }')"
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    [ $n -lt 3000 ] || fail "kill $k: no checkpoint was written before it"
    "$digits" --predict test --resume kills/k.h5 >out 2>err || { bad=$((bad + 1)); sed 's/^/    /' err; }
done
check "after $kills kills the checkpoint loads each time" [ $bad = 0 ]

# ---- damaged checkpoints --------------------------------------------------------------------------------------------

size=$(wc -c <a.h5)
mkdir bad
for cut in 0 1 100 $((size / 2)) $((size - 1)); do
    head -c "$cut" a.h5 >bad/x.h5
    expect 1 'bad/x.h5' "$digits" --resume bad/x.h5
done
for at in 10 500 $((size / 3)) $((size / 2)) $((size * 3 / 4)); do
    { head -c "$at" a.h5 && printf '\252' && tail -c +$((at + 2)) a.h5; } >bad/x.h5
    cmp -s a.h5 bad/x.h5 || expect 1 'bad/x.h5' "$digits" --predict test --resume bad/x.h5
done
cp "$digits" bad/x.h5
expect 1 'bad/x.h5' "$digits" --resume bad/x.h5
expect 1 'bad' "$digits" --resume bad
check 'nothing else was written' only bad './x.h5 '

# ---- a full disk ----------------------------------------------------------------------------------------------------

mkdir -p small
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=1m tmpfs small 2>/dev/null; then
    expect 0 'Test accuracy' "$digits" --model mlp --epochs 1 --out small/x.h5
    cp small/x.h5 before.h5
    head -c 2000000 /dev/zero >small/fill 2>/dev/null
    expect 1 'small/x.h5' "$digits" --resume small/x.h5 --epochs 2
    check 'the checkpoint before is intact' cmp small/x.h5 before.h5
    check 'no temporary file was left' only small './fill ./x.h5 '
    rm small/fill small/x.h5
    # Room for the try, not for what comes after it: the disk fills up during the run.
    "$digits" --model mlp --epochs 100000 --checkpoint-every 1 --out small/x.h5 >out 2>err &
    pid=$!
    while [ ! -e small/x.h5 ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
    # Once does not do: while the old file and the new one are both there, what is free is less than what a save needs.
    tries=0
    while kill -0 $pid 2>/dev/null; do
        head -c 2000000 /dev/zero >>small/fill 2>/dev/null
        tries=$((tries + 1))
        [ $tries -lt 600 ] || kill -KILL $pid
        sleep 0.1
    done
    wait $pid
    check 'a disk that fills up during the run ends it with 1' [ $? = 1 ]
    check 'and is named' grep -q 'small/x.h5' err
    check 'no temporary file was left by it' only small './fill ./x.h5 '
    expect 0 'agree' "$digits" --predict test --resume small/x.h5
    umount small
else
    skip 'a full disk: mounting a small tmpfs needs root'
fi

# ---- prediction -----------------------------------------------------------------------------------------------------

expect 0 'agree' "$digits" --predict test --resume a.h5
check 'a line for each image of the test data' [ "$(grep -c '^ *[0-9]*  *[0-9]  *[0-9][ *] ' out)" = 360 ]
row=0,0,5,13,9,1,0,0,0,0,13,15,10,15,5,0,0,3,15,2,0,11,8,0,0,4,12,0,0,8,8,0,0,5,8,0,0,9,8,0,0,4,11,0,1,12,7,0,0,2,14,5,10,12,0,0,0,0,6,13,10,0,0,0
{ echo 'P2 # a comment' && echo '8 8' && echo 16 && echo $row | tr , ' '; } >zero.pgm
{ printf 'P5\n8 8\n16\n' && echo $row | tr , '\n' | awk '{ printf "%c", ($1 == 0) ? 0 : $1 }'; } >zero5.pgm 2>/dev/null
echo $row >zero.csv
printf '%s,0\r\n\n%s,0\n' $row $row >labels.csv
octal=$(echo $row | tr , '\n' | awk '{ printf "\\%03o", $1 }')
# shellcheck disable=SC2059
{ printf 'P5\n8 8\n16\n' && printf "$octal"; } >zero5.pgm
# shellcheck disable=SC2059
{ printf '\0\0\010\003\0\0\0\001\0\0\0\010\0\0\0\010' && printf "$octal"; } >zero.idx
gzip -c zero.idx >zero.idx.gz
for f in zero.pgm zero5.pgm zero.csv zero.idx zero.idx.gz labels.csv; do
    expect 0 '^ *0 *0 ' "$digits" --predict $f --resume a.h5
    tail -n +2 out | head -n 1 | awk '{ print $NF }' >$f.answer
    cmp -s zero.pgm.answer $f.answer || fail "$f: another answer than for zero.pgm"
done
expect 0 '2 of 2 agree' "$digits" --predict labels.csv --resume a.h5
: >empty
expect 1 'the file is empty' "$digits" --predict empty --resume a.h5
expect 1 'absent' "$digits" --predict absent --resume a.h5
expect 1 'cannot be read' "$digits" --predict bad --resume a.h5
echo "1,2,3" >short.csv
expect 1 'short.csv, line 1: 3 numbers; expected 64' "$digits" --predict short.csv --resume a.h5
echo "$row,0,0" >long.csv
expect 1 'more than 65 numbers' "$digits" --predict long.csv --resume a.h5
echo "$row,12" >label.csv
expect 1 'the label is 12' "$digits" --predict label.csv --resume a.h5
echo "$row" | sed 's/13/17/' >bright.csv
expect 1 'expected a pixel from 0 to 16' "$digits" --predict bright.csv --resume a.h5
echo "$row" | sed 's/13/abc/' >word.csv
expect 1 'line 1, number 4: "abc"' "$digits" --predict word.csv --resume a.h5
{ echo "$row" && echo "$row,0"; } >mixed.csv
expect 1 'mixed.csv, line 2' "$digits" --predict mixed.csv --resume a.h5
echo 'P2 4 4 16 1 2 3' >wrong.pgm
expect 1 '4 x 4 pixels; expected 8 x 8' "$digits" --predict wrong.pgm --resume a.h5
echo 'P2 8 8 16 1 2 3' >cut.pgm
expect 1 'pixel 3 is missing' "$digits" --predict cut.pgm --resume a.h5
head -c 60 zero5.pgm >cut5.pgm
expect 1 'bytes of pixels; expected 64' "$digits" --predict cut5.pgm --resume a.h5
echo 'P2 8' >head.pgm
expect 1 'header is damaged' "$digits" --predict head.pgm --resume a.h5
head -c 50 zero.idx >cut.idx
expect 1 'cut.idx' "$digits" --predict cut.idx --resume a.h5
head -c 30 zero.idx.gz >cut.idx.gz
expect 1 'cut.idx.gz' "$digits" --predict cut.idx.gz --resume a.h5
printf '\0\0\010\003\0\0\0\0\0\0\0\010\0\0\0\010' >none.idx
expect 1 'none.idx' "$digits" --predict none.idx --resume a.h5

# ---- MNIST's files --------------------------------------------------------------------------------------------------

# idx TYPE DIM...: an IDX header, sizes below 256.
idx() {
    # shellcheck disable=SC2059
    printf "\\0\\0\\010\\00$#"
    # shellcheck disable=SC2059
    for d in "$@"; do printf "\\0\\0\\0\\$(printf %03o "$d")"; done
}
# A tiny data set in MNIST's format: folder, images, labels, highest label.
tiny() {
    mkdir -p "$1"
    for part in train t10k; do
        { idx "$2" 28 28 && head -c $(($2 * 784)) /dev/urandom; } >"$1/$part-images-idx3-ubyte"
        { idx "$3" && awk -v n="$3" -v m="$4" 'BEGIN { for (i = 0; i < n; i++) printf "\\%03o", i % (m + 1) }' | {
            read -r o
            # shellcheck disable=SC2059
            printf "$o"
        }; } >"$1/$part-labels-idx1-ubyte" 2>/dev/null
    done
}
unset TERN_MNIST_URL
expect 1 'ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz' "$mnist" --data nodata
check 'the folder is not made' no_file nodata mnist.h5
expect 1 'nodata/mnist: no file' env TERN_DATA=nodata "$mnist"
expect 0 'Test accuracy 9' env -u TERN_DATA "$mnist" --model mlp --out m.h5
check 'digits in place of MNIST are announced' grep -q 'digits that come with Tern, enlarged' out
tiny tiny 40 40 9
expect 0 'Test accuracy' "$mnist" --data tiny --model mlp --epochs 1 --batch 8 --out m.h5
expect 0 'of 40 agree' "$mnist" --data tiny --predict test --resume m.h5
expect 0 '^ *39 ' "$mnist" --predict tiny/t10k-images-idx3-ubyte --resume m.h5
expect 1 'neither a PGM' "$mnist" --predict zero.csv --resume m.h5
gzip -k tiny/* && mkdir gz && mv tiny/*.gz gz
expect 0 'Test accuracy' "$mnist" --data gz --model mlp --epochs 1 --out m.h5
rm m.h5
head -c 20000 gz/train-images-idx3-ubyte.gz >cut.gz && mv cut.gz gz/train-images-idx3-ubyte.gz
expect 1 'train-images-idx3-ubyte.gz' "$mnist" --data gz --out m.h5
tiny high 40 40 10
expect 1 'labels-idx1-ubyte' "$mnist" --data high --out m.h5
tiny zero 0 0 9
expect 1 'idx' "$mnist" --data zero --out m.h5
tiny differ 40 39 9
expect 1 'idx' "$mnist" --data differ --out m.h5
tiny swapped 40 40 9
mv swapped/train-labels-idx1-ubyte x && mv swapped/train-images-idx3-ubyte swapped/train-labels-idx1-ubyte
mv x swapped/train-images-idx3-ubyte
expect 1 'idx' "$mnist" --data swapped --out m.h5
tiny foreign 40 40 9
cp "$digits" foreign/train-images-idx3-ubyte
expect 1 'train-images-idx3-ubyte' "$mnist" --data foreign --out m.h5
check 'nothing was written by all this' no_file m.h5
TERN_MNIST_URL="file://$work/absent"
export TERN_MNIST_URL
if command -v curl >/dev/null; then
    expect 1 'could not be downloaded' "$mnist" --data fetched --download --out m.h5
    check 'no folder is left' no_file fetched
    gzip -c tiny/train-images-idx3-ubyte >tiny/train-images-idx3-ubyte.gz
    TERN_MNIST_URL="file://$work/tiny"
    expect 1 'expected u8 \[60000, 28, 28\]' "$mnist" --data fetched --download --out m.h5
    check 'nothing half is left' no_file fetched
else
    expect 1 'needs the program curl' "$mnist" --data fetched --download --out m.h5
fi
if [ -n "${TERN_DATA:-}" ] && [ -e "$TERN_DATA/mnist/t10k-images-idx3-ubyte.gz" ]; then
    if command -v curl >/dev/null; then
        TERN_MNIST_URL="file://$TERN_DATA/mnist"
        expect 0 'Stopped after 1' "$mnist" --data fetched --download --out m.h5 --model mlp --epochs 2 --stop-after 1
        expect 0 'Test accuracy' "$mnist" --data fetched --resume m.h5
    fi
    [ "$mode" = full ] && for seed in 1 2 3; do
        expect 0 'Test accuracy 9[89]\.' "$mnist" --model mlp --seed $seed --out m.h5
        tail -n 2 out
        expect 0 'Test accuracy 99\.' "$mnist" --model cnn --seed $seed --out m.h5
        tail -n 2 out
    done
else
    skip 'MNIST itself: TERN_DATA does not name a folder with mnist/'
fi

# ---- custom_op ------------------------------------------------------------------------------------------------------

custom_op=$build/examples/custom_op
if [ -x "$custom_op" ]; then
    expect 0 'error within the data 0[.]0' "$custom_op" --out a.h5
    check 'custom_op: the gradients' grep -q 'and their gradients agree' out
    expect 0 'Stopped after step 7' "$custom_op" --steps 20 --stop-after 7 --out b.h5
    expect 0 'error within' "$custom_op" --steps 20 --resume b.h5 --out b.h5
    expect 0 'error within' "$custom_op" --steps 20 --out c.h5
    check 'custom_op: 7 steps and 13 are 20, bit for bit' cmp b.h5 c.h5
    expect 2 'expected one of' "$custom_op" --activation sine
    expect 1 'No such file' "$custom_op" --resume nothing.h5
else
    fail 'there is no custom_op'
fi

# ---- gpt2 -----------------------------------------------------------------------------------------------------------

gpt2=$build/examples/gpt2
small='--width 32 --heads 2 --layers 2 --context 32 --batch 4 --vocabulary 300 --dropout 0.1 --steps 12 --eval-every 6 --length 40'
# shellcheck disable=SC2086
{
    check 'gpt2: trains' "$gpt2" $small --out a.h5 --plot a.svg >out 2>err </dev/null
    check 'gpt2: its curves' [ "$(grep -c '<polyline.*points="[0-9]' a.svg)" = 2 ]
    check 'gpt2: says how' grep -q 'step    12 of 12  loss [0-9.]*  validation [0-9.]*' out
    expect 0 'Stopped after step 5' "$gpt2" $small --out b.h5 --stop-after 5
    check 'gpt2: goes on' "$gpt2" $small --resume b.h5 --plot b.svg >out 2>err </dev/null
    check 'gpt2: 5 steps and 7 are 12, bit for bit' cmp a.h5 b.h5
    head -c 20000 "$here/../README.md" >short.txt # its validation part is less than what is looked at in training
    check 'gpt2: trains on a file' "$gpt2" $small --data short.txt --out e.h5 >out 2>err </dev/null
    seen=$(sed -n 's/.*step    12 of 12 .*validation \([0-9.]*\) .*/\1/p' out)
    expect 0 "validation $seen (.* a byte) over [0-9]* tokens" "$gpt2" --evaluate --resume e.h5 --data short.txt
    expect 1 'has no 32 tokens' "$gpt2" --evaluate --resume e.h5 --data /dev/null
    expect 2 '--evaluate needs' "$gpt2" --evaluate
    check 'gpt2: with the same curves' cmp a.svg b.svg
    check 'gpt2: and nothing elsewhere' no_file gpt2.h5
    for other in '--layers 3' '--lora 2' '--dtype bf16' '--size 10m' '--seed 7'; do
        expect 2 "$other contradicts the checkpoint b.h5" "$gpt2" --resume b.h5 $other
    done
    for few in 0 11; do
        expect 2 'further than --steps' "$gpt2" --resume b.h5 --steps $few
    done
    expect 0 'gpt2 --resume f.h5 --data short.txt' "$gpt2" $small --data short.txt --out f.h5 --stop-after 5
    full_disk "$gpt2" b.h5
    head -c 3000 b.h5 >bad.h5
    expect 1 'bad.h5' "$gpt2" --resume bad.h5
    [ ! -c /dev/full ] || { "$gpt2" --help >/dev/full 2>err; check 'gpt2: help to a full device fails' [ $? = 1 ]; }
    for low in bf16 f16; do
        check "gpt2: trains in $low" "$gpt2" $small --dtype $low --peak 1 --out low.h5 >out 2>err </dev/null
        check "gpt2: its MFU in $low" grep -q 'TFLOP/s, MFU [0-9.]* %' out
        expect 0 'Stopped after step 5' "$gpt2" $small --dtype $low --out cut.h5 --stop-after 5
        check "gpt2: goes on in $low" "$gpt2" --resume cut.h5 --peak 1 >out 2>err </dev/null
        check "gpt2: bit for bit in $low" cmp low.h5 cut.h5
        check "gpt2: writes in $low" "$gpt2" --generate --dtype $low --resume low.h5 --length 5 >with 2>err </dev/null
    done
    check 'gpt2: the scale of f16 is printed' grep -q 'scale [0-9]*, [0-9]* steps skipped' out
    for how in '--temperature 0' '--seed 3 --top-k 40 --top-p 0.9'; do
        "$gpt2" --generate --resume a.h5 $how --length 60 >with 2>err </dev/null && "$gpt2" --generate --resume a.h5 $how --length 60 --no-cache >without 2>err </dev/null
        check "gpt2: the same text with and without the cache, $how" cmp with without
    done
    check 'gpt2: it wrote something' [ "$(wc -c <with)" -gt 10 ]
    check 'gpt2: weights as safetensors' "$gpt2" --resume a.h5 --out c.h5 --save-weights w.safetensors >out 2>err </dev/null
    check 'gpt2: from them' "$gpt2" $small --weights w.safetensors --vocab a.h5.vocab.json --merges a.h5.merges.txt --steps 2 --out c.h5 >out 2>err </dev/null
    # Fewer tokens than the weights have positions: a resumed run keeps to that.
    few="--weights w.safetensors --heads 2 --vocab a.h5.vocab.json --merges a.h5.merges.txt --context 16 --steps 6 --eval-every 3"
    check 'gpt2: with a smaller context' "$gpt2" $few --out few.h5 >out 2>err </dev/null
    expect 0 'Stopped after step 3' "$gpt2" $few --out more.h5 --stop-after 3
    check 'gpt2: goes on with it' "$gpt2" --resume more.h5 >out 2>err </dev/null
    check 'gpt2: and says so' grep -q 'context 16,' out
    check 'gpt2: bit for bit' cmp few.h5 more.h5
    expect 1 'its layers is 2; --layers asks for 5' "$gpt2" $few --layers 5 --out x.h5
    check 'gpt2: an adapter' "$gpt2" $small --weights w.safetensors --heads 2 --vocab a.h5.vocab.json --merges a.h5.merges.txt --lora 2 --out d.h5 --save-adapter adapter >out 2>err </dev/null
    expect 0 'Stopped after step 5' "$gpt2" $small --weights w.safetensors --heads 2 --vocab a.h5.vocab.json --merges a.h5.merges.txt --lora 2 --out e.h5 --stop-after 5
    check 'gpt2: an adapter goes on' "$gpt2" --resume e.h5 >out 2>err </dev/null
    check 'gpt2: bit for bit' cmp d.h5 e.h5
    check 'gpt2: with its adapter' "$gpt2" --generate --weights w.safetensors --heads 2 --vocab a.h5.vocab.json --merges a.h5.merges.txt --adapter adapter --temperature 0 --length 30 >with 2>err </dev/null
    check 'gpt2: from the checkpoint' "$gpt2" --generate --resume d.h5 --temperature 0 --length 30 >without 2>err </dev/null
    check 'gpt2: the same' cmp with without
    expect 0 . "$gpt2" --generate --resume a.h5 --adapter adapter --length 5
    expect 2 'are two beginnings' "$gpt2" --resume a.h5 --adapter adapter
    expect 1 'context asks for 64' "$gpt2" --weights w.safetensors --heads 2 --vocab a.h5.vocab.json --merges a.h5.merges.txt --context 64 --out x.h5
    # Heads that divide the width of the weights, 24, and not that of the default network, 128.
    check 'gpt2: a width of 24' "$gpt2" $small --width 24 --heads 3 --steps 1 --out h.h5 --save-weights h.safetensors >out 2>err </dev/null
    check 'gpt2: and 3 heads' "$gpt2" --generate --weights h.safetensors --heads 3 --vocab h.h5.vocab.json --merges h.h5.merges.txt --length 5 >out 2>err </dev/null
    sed -i 's/"use_rslora": *false/"use_rslora": true/' adapter/adapter_config.json
    expect 1 'without use_rslora' "$gpt2" $small --weights w.safetensors --heads 2 --vocab a.h5.vocab.json --merges a.h5.merges.txt --adapter adapter --out x.h5
    expect 2 'goes with --generate' "$gpt2" --logits y.npy
    expect 2 'does not divide' "$gpt2" --width 30 --heads 4
    expect 2 'needs --vocab' "$gpt2" --weights w.safetensors
    expect 1 'No such file' "$gpt2" --data none.txt
    expect 1 'needs more' "$gpt2" --data b.h5.merges.txt --vocabulary 256 --context 2000
    expect 1 'cannot be written' "$gpt2" $small --out /proc/none/x.h5
    expect 1 'cut off' "$gpt2" --generate --weights b.h5.merges.txt --vocab a.h5.vocab.json --merges a.h5.merges.txt
    "$gpt2" $small --steps 100000 --out t.h5 >out 2>err </dev/null &
    pid=$!
    sleep 3
    kill -TERM $pid
    wait $pid
    check 'gpt2: SIGTERM ends it with code 1' [ $? = 1 ]
    check 'gpt2: and a checkpoint' grep -q 'SIGTERM after step' out
    check 'gpt2: which is whole' "$gpt2" --generate --resume t.h5 --length 1 >out 2>err </dev/null
}

# ---- those that share common/trainer.c -------------------------------------------------------------------------------

# shellcheck source=tests/examples_steps.sh
. "$here/examples_steps.sh"

# ---- pictures -----------------------------------------------------------------------------------------------------

# shellcheck source=tests/examples_images.sh
. "$here/examples_images.sh"
# shellcheck source=tests/examples_pictures.sh
. "$here/examples_pictures.sh"

# ---- the bar --------------------------------------------------------------------------------------------------------

if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    TERM=xterm script -qec "stty cols 100; $digits --model cnn --epochs 10 --out bar.h5" /dev/null >out 2>err </dev/null
    check 'a bar on a terminal' grep -q '\[=*[>.=]' out
    check 'with the time left' grep -q 'images/s  [0-9:]* left' out
    tr '\r' '\n' <out | sed "s/$(printf '\033')\[K//g" | awk 'length($0) > 99 && /\[/ { long = 1 } END { exit long }'
    check 'no wider than the terminal' [ $? = 0 ]
else
    skip 'the progress bar: no program script, or no terminals'
fi

echo "examples: $passed passed, $failed failed"
[ $failed = 0 ]
