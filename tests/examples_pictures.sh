# shellcheck shell=sh disable=SC2154
# The example programs that tell what pictures show; tests/examples.sh sources this after examples_images.sh.

cifar=$build/examples/cifar
inference=$build/examples/inference

# ---- cifar ----------------------------------------------------------------------------------------------------------

goes_on cifar --epochs 3 --samples 96 --width 2 --batch 8
goes_on cifar --epochs 3 --samples 64 --width 2 --batch 8 --precision f16 --ema 5 --workers 2
goes_on cifar --epochs 2 --samples 64 --width 2 --batch 8 --model resnet18 --precision bf16
expect 0 'Test accuracy [0-9.]* % of 500' "$cifar" --epochs 1 --samples 64 --width 2 --smoothing 0 --onnx cifar.onnx
check 'cifar: a picture of 10 x 10 pictures' png_is cifar.png 342 342
[ "$mode" = full ] && expect 0 'Test accuracy \(9[5-9]\|100\)[.]' "$cifar" --out long.h5

# Records of CIFAR-10: a label, then 3072 pixels.
mkdir binary
i=0
while [ $i -lt 12 ]; do
    # shellcheck disable=SC2059
    { printf "\\$(printf %03o $((i % 10)))" && head -c 3072 /dev/urandom; } >>binary/data_batch_1.bin
    i=$((i + 1))
done
for n in 2 3 4 5; do cp binary/data_batch_1.bin binary/data_batch_$n.bin; done
expect 1 'test_batch.bin' "$cifar" --data binary --out d.h5
cp binary/data_batch_1.bin binary/test_batch.bin
binary='--data binary --epochs 2 --width 2 --batch 16'
# shellcheck disable=SC2086
{
    expect 0 'takes for airplane/automobile/bird' "$cifar" $binary --out d.h5
    expect 0 'parameters on cpu; 20 samples' "$cifar" $binary --samples 20 --stop-after 1 --out e.h5
    expect 0 'Test accuracy' "$cifar" --data binary --resume e.h5
    expect 1 '60 training pictures; --samples asks for 61' "$cifar" $binary --samples 61 --out e.h5
}
expect 1 'trained on other data, of the classes airplane' "$cifar" --resume d.h5 --epochs 3
head -c 5000 binary/test_batch.bin >cut.bin && mv cut.bin binary/test_batch.bin
expect 1 'test_batch.bin' "$cifar" --data binary --out d.h5

mkdir -p folder/train/cat folder/train/dog folder/test/cat
expect 1 'folder/train' "$cifar" --data folder --out f.h5
cp cifar.png folder/train/cat/1.png
cp vae.png folder/train/dog/1.png
cp cifar.png folder/test/cat/1.png
expect 1 'train and test hold other classes' "$cifar" --data folder --out f.h5
mkdir folder/test/dog
cp gan.png folder/test/dog/2.png
expect 0 'takes for cat/dog' "$cifar" --data folder --epochs 1 --width 2 --batch 2 --out f.h5
head -c 400 gan.png >folder/test/dog/2.png
expect 1 'folder/test/dog/2.png' "$cifar" --data folder --epochs 1 --width 2 --batch 2 --out g.h5
expect 1 'nodata: neither data_batch_1.bin' "$cifar" --data nodata
expect 2 'one of resnet9|resnet18' "$cifar" --model resnet50
expect 2 'one of f32|bf16|f16' "$cifar" --precision f64

# ---- a full disk ----------------------------------------------------------------------------------------------------

mkdir full
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64k tmpfs full 2>/dev/null; then
    head -c 65536 /dev/zero >full/fill 2>/dev/null
    expect 1 'full/x.png' "$cifar" --epochs 1 --samples 16 --width 2 --images full/x.png
    expect 1 'full/x.onnx' "$cifar" --epochs 1 --samples 16 --width 2 --onnx full/x.onnx
    check 'cifar: nothing is left on a full disk but what was there' only full './fill '
    umount full
else
    skip 'a full disk: mounting a small tmpfs needs root'
fi

# ---- inference ------------------------------------------------------------------------------------------------------

expect 0 '^\(9\|10\) of 10 right' "$inference"
expect 0 '^ .* %  7$' "$inference" --checkpoint inference.h5 --top 1 inference-7.png
expect 0 '^vae.png (342 x 308, resized to 8 x 8)' "$inference" --checkpoint inference.h5 --invert vae.png
expect 0 '^ .* %  \(cat\|dog\)$' "$inference" --checkpoint f.h5 cifar.png vae.png
check 'inference: both classes, of both pictures' [ "$(grep -c ' %  ' out)" = 4 ]
"$cifar" --epochs 1 --samples 64 --width 2 --ema 5 --onnx ema.onnx --out ema.h5 >out 2>err </dev/null
printf 'disc\nsquare\ntriangle\ncross\ndiamond\n' >labels
for p in disc square triangle cross diamond; do echo "$p outline"; done >>labels
for net in "--checkpoint ema.h5" "--onnx ema.onnx --labels labels"; do
    # shellcheck disable=SC2086
    "$inference" $net --top 10 vae.png cifar.png 2>err | sed 's/[0-9] %/ %/' >"says.${net%% *}"
done
check 'inference: the same from the averaged weights and from their ONNX model' cmp says.--checkpoint says.--onnx
check 'inference: with names' grep -q 'diamond outline' says.--onnx
expect 1 'absent.png' "$inference" --checkpoint inference.h5 inference-3.png absent.png inference-4.png
check 'inference: the others are looked at' grep -q '^inference-4.png' out
expect 1 'neither PNG nor JPEG' "$inference" --checkpoint inference.h5 labels
expect 1 'is not a file' "$inference" --checkpoint inference.h5 folder
expect 1 'absent.h5' "$inference" --checkpoint absent.h5 vae.png
expect 1 'no HDF5 file' "$inference" --checkpoint labels vae.png
"$build/examples/vae" --epochs 1 --out vae.h5 >out 2>err </dev/null
expect 1 'a checkpoint of vae; expected one of cifar' "$inference" --checkpoint vae.h5 vae.png
head -c 9000 inference.h5 >cut.h5
expect 1 'cut.h5' "$inference" --checkpoint cut.h5 vae.png
expect 1 'no ONNX model' "$inference" --onnx inference.h5 vae.png
expect 1 'absent.txt' "$inference" --onnx ema.onnx --labels absent.txt vae.png
expect 1 '3 numbers' "$inference" --onnx ema.onnx --mean 1,2 vae.png
expect 1 'expected \[1, classes\]' "$inference" --onnx ema.onnx --size 64 vae.png
expect 2 'need a network' "$inference" vae.png
expect 2 'no pictures were given' "$inference" --checkpoint inference.h5
expect 2 'one is needed, not both' "$inference" --checkpoint inference.h5 --onnx ema.onnx vae.png
expect 2 'need --onnx' "$inference" --checkpoint inference.h5 --size 8 vae.png
expect 2 'expected 1 or 3' "$inference" --onnx ema.onnx --channels 2 vae.png
expect 2 'unknown option "--=x"\|unknown option "--"' "$inference" --=x
expect 2 'did you mean --top' "$inference" --to 3
expect 2 'nodevice' "$inference" --device nodevice
expect 0 'usage: inference' "$inference" --help
