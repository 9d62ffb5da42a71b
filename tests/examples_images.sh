# shellcheck shell=sh
# The example programs that train by epochs (examples/common/epochs.c), from outside; tests/examples.sh sources this and has its functions.

# png_is FILE WIDTH HEIGHT: the size that the file's header says.
png_is() {
    # shellcheck disable=SC2046
    set -- "$2 $3" $(od -An -tu1 -j16 -N8 "$1")
    [ "$1" = "$(($2 * 16777216 + $3 * 65536 + $4 * 256 + $5)) $(($6 * 16777216 + $7 * 65536 + $8 * 256 + $9))" ]
}

# goes_on NAME OPTIONS...: a run in one piece, one that is stopped after an epoch and one that SIGTERM stops in the middle
# end alike, bit for bit.
goes_on() {
    name=$1
    program=$build/examples/$1
    shift
    rm -f a.h5 b.h5 c.h5
    check "$name: trains" sh -c '"$0" "$@" >out 2>err </dev/null' "$program" "$@" --out a.h5
    expect 0 'Stopped after epoch 1' "$program" "$@" --out b.h5 --stop-after 1
    check "$name: goes on" sh -c '"$0" "$@" >out 2>err </dev/null' "$program" --resume b.h5 --out b.h5
    check "$name: curves of all epochs" sh -c 'grep -q "<svg" "$0" && grep -q "<polyline\|<path" "$0"' "$name.svg"
    check "$name: 1 epoch and the others are all, bit for bit" cmp a.h5 b.h5
    # The first checkpoint comes long before the first epoch's end, and the signal right after it.
    "$program" "$@" --out c.h5 --checkpoint-every 3 >out 2>err </dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ ! -e c.h5 ]; do sleep 0.01; done
    kill -TERM $pid
    wait $pid
    check "$name: SIGTERM ends it with code 1" [ $? = 1 ]
    check "$name: and a checkpoint" grep -q 'SIGTERM after epoch' out
    check "$name: goes on from there" sh -c '"$0" "$@" >out 2>err </dev/null' "$program" --resume c.h5 --out c.h5
    check "$name: the same numbers" cmp a.h5 c.h5
    # What is printed at the end comes from the checkpoint too.
    grep '^[A-Za-z].* [0-9.]*$' out | grep -v "^resumed\|^epoch\|^$name" >once
    "$program" --resume c.h5 --out c.h5 >out 2>err </dev/null
    grep '^[A-Za-z].* [0-9.]*$' out | grep -v "^resumed\|^epoch\|^$name" >twice
    check "$name: a run that is over tells its results again" cmp once twice
    expect 2 'contradicts' "$program" --resume a.h5 --lr 0.5
    expect 2 'is "x"' "$program" --epochs x
    expect 2 'did you mean --epochs' "$program" --epoch 3
    expect 2 'nodevice' "$program" --device nodevice
    expect 1 'absent' "$program" --resume absent
    head -c 3000 a.h5 >cut.h5
    expect 1 'cut.h5' "$program" --resume cut.h5
    expect 1 'cannot be written' "$program" --out /proc/none/x.h5
    expect 1 '/proc/none' "$program" --resume a.h5 --plot /proc/none/x.svg
    expect 0 'usage' "$program" --help
    full_disk "$program" a.h5
}

goes_on vae --epochs 3 --latent 4 --batch 8
expect 0 '^vae.png' "$build/examples/vae" --epochs 1 --batch 256
check 'vae: a picture of 10 x 9 digits' png_is vae.png 342 308
expect 1 'nodata' "$build/examples/vae" --data nodata

goes_on segmentation --epochs 3 --samples 128 --width 4 --batch 4
expect 0 '^IoU 0\.[0-9]*$' "$build/examples/segmentation" --epochs 1 --samples 32 --width 4
check 'segmentation: a picture of 10 x 3 scenes' png_is segmentation.png 662 200

goes_on gan --epochs 3 --latent 8 --batch 8
expect 0 '^gan.png' "$build/examples/gan" --epochs 1 --batch 256
check 'gan: a picture of 12 x 8 digits' png_is gan.png 410 274
expect 1 'nodata' "$build/examples/gan" --data nodata

goes_on timeseries --epochs 3 --length 600 --width 8 --context 24 --horizon 8 --batch 8
goes_on timeseries --model transformer --epochs 3 --length 600 --width 8 --heads 2 --context 24 --horizon 8 --batch 8 --dropout 0.1
expect 0 '^seasonal naive  *MAE  *[0-9.]*  MASE  *[0-9.]*$' "$build/examples/timeseries" --model transformer --epochs 4 --lr 2e-3 --out ts.h5 --future future.csv
# What the network makes of the series must be better than the last day again.
check 'timeseries: better than the seasonal naive forecast' awk '/^seasonal/ { bar = $4 } /^transformer/ { ours = $3 } END { exit !(ours > 0 && ours < 0.8 * bar) }' out
check 'timeseries: its forecast drawn' [ "$(grep -c '<polyline.*points="[0-9]' timeseries_forecast.svg)" = 3 ]
check 'timeseries: 24 values of the future' [ "$(grep -c '^30[0-9]*,[0-9.]*$' future.csv)" = 24 ]
# A file with the same numbers gives the same forecasts as any other way to have them; a series that only repeats itself is
# told without an error by the seasonal naive forecast.
awk 'BEGIN { print "when,load"; for (i = 0; i < 400; i++) print i ",", 10 + (i * 7) % 12 }' >load.csv
small='--column load --epochs 1 --width 8 --context 24 --horizon 12 --period 12'
# shellcheck disable=SC2086
{
    expect 0 '^seasonal naive  *MAE  *0.0000 ' "$build/examples/timeseries" --data load.csv $small --out file.h5
    check 'timeseries: the training does not know what comes after it' sh -c '
        sed "/^3[3-9].,/s/\$/0/" load.csv >later.csv && program=$0 && shift
        for f in load later; do
            "$program" --data $f.csv --column load --epochs 1 --width 8 --context 24 --horizon 12 --period 12 --out file.h5 |
                sed -n "s/^epoch.*  loss \([0-9.]*\) .*/\1/p" >$f.loss
        done
        ! cmp -s load.csv later.csv && grep -q . load.loss && cmp load.loss later.loss' "$build/examples/timeseries" -
    expect 2 'go together' "$build/examples/timeseries" --data load.csv
    expect 1 'no column "weight"' "$build/examples/timeseries" --data load.csv $small --column weight
    expect 1 'absent.csv' "$build/examples/timeseries" --data absent.csv $small
    sed '9s/,.*/,/' load.csv >gap.csv
    expect 1 'no number in row 8 of the data' "$build/examples/timeseries" --data gap.csv $small
    sed '9s/,.*/,much/' load.csv >word.csv
    expect 1 'word.csv\|text' "$build/examples/timeseries" --data word.csv $small
    head -n 60 load.csv >short.csv
    expect 1 'too few for a --context of 24' "$build/examples/timeseries" --data short.csv $small
    awk 'BEGIN { print "load"; for (i = 0; i < 400; i++) print 3 }' >flat.csv
    expect 1 'same value throughout' "$build/examples/timeseries" --data flat.csv $small
}
expect 2 'shorter than --period' "$build/examples/timeseries" --context 12
expect 2 'does not divide --context' "$build/examples/timeseries" --model transformer --patch 7
expect 2 'one of lstm|transformer' "$build/examples/timeseries" --model gru
expect 1 '/proc/none' "$build/examples/timeseries" --resume ts.h5 --forecast /proc/none/x.svg
expect 1 '/proc/none' "$build/examples/timeseries" --resume ts.h5 --future /proc/none/x.csv
