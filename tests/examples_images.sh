# shellcheck shell=sh
# The example programs that make pictures, from outside; tests/examples.sh sources this and has its functions.

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
