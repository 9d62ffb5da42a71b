#!/usr/bin/env python3
"""Models of ONNX from Tern to onnxruntime, from there back to Tern, and from PyTorch to Tern.

    tests/onnx/both_ways.py --build build/release        (needs numpy, onnx; onnxruntime, PyTorch)

Without onnxruntime the first is left out, without PyTorch the last, and a line says so. PyTorch's models are exported by
its TorchScript exporter at several opsets and, where onnxscript is installed, by the newer one. Outputs agree to 1e-5,
relative to the largest of them. Ends with 1 on a difference, 2 if there was nothing to compare."""
import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]
import api  # noqa: E402
import load  # noqa: E402
from export import difference  # noqa: E402

OPSETS = (14, 17, 20)


def installed(name):
    return importlib.util.find_spec(name) is not None


def models():
    """Name, module, inputs for the export, inputs for the comparison: the first dimension differs."""
    import torch
    from torch import nn
    torch.manual_seed(7)
    torch.backends.mha.set_fastpath_enabled(False)  # it has no form in ONNX

    class Call(nn.Module):
        def __init__(self, f, *parts):
            super().__init__()
            self.f, self.parts = f, nn.ModuleList(parts)

        def forward(self, *x):
            return self.f(self.parts, *x)

    def tokens(n):
        return (torch.randint(0, 11, (n, 5)),)

    def floats(*shape):
        return lambda n: (torch.randn(n, *shape),)

    norms = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.GroupNorm(2, 8), nn.Hardswish(),
                          nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU(0.1), nn.LayerNorm([8, 8, 8]))
    with torch.no_grad():
        norms[1].running_mean.normal_()
        norms[1].running_var.uniform_(0.5, 2)
    pools = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, 1), nn.Conv2d(3, 6, 3, groups=3, stride=2, dilation=1),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4), nn.LogSoftmax(1))
    up = nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1), nn.Upsample(scale_factor=2), nn.PixelShuffle(2),
                       nn.Upsample(size=(9, 7), mode="bilinear"), nn.ReflectionPad2d(1))
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", norm_first=True, batch_first=True)
    yield "mlp", nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Linear(16, 16), nn.ELU(), nn.Dropout(), nn.Linear(16, 3),
                               nn.Softmax(-1)), floats(6)
    yield "norms", norms, floats(3, 8, 8)
    yield "pools", pools, floats(3, 12, 12)
    yield "upsampling", up, floats(3, 4, 3)
    yield "lstm", Call(lambda p, x: p[0](x)[0], nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True)), floats(3, 4)
    yield "gru", Call(lambda p, x: p[0](x)[1][0], nn.GRU(4, 5, batch_first=True)), floats(3, 4)
    yield "encoder", Call(lambda p, x: p[0](x, src_mask=torch.triu(torch.full((5, 5), -1e9), 1)), layer), floats(5, 8)
    yield "tokens", Call(lambda p, x: p[1](p[0](x)).mean(1), nn.Embedding(11, 6), nn.LayerNorm(6)), tokens
    yield "shapes", Call(lambda p, x: torch.cat([x.transpose(1, 2).flatten(1), x[:, ::2, -1:].squeeze(2),
                                                 x.cumsum(1).amax(2), x.new_ones(x.shape[0], 2)], 1)), floats(4, 3)
    yield "masks", Call(lambda p, x: torch.where(torch.arange(x.shape[1]) > 1, torch.tril(x @ x.transpose(1, 2)), x * 2)), \
        floats(4, 4)
    yield "two_inputs", Call(lambda p, x, y: torch.einsum("bij,bkj->bik", x, y).clamp(-1, 1).pow(2).sum(-1).sqrt()), \
        lambda n: (torch.randn(n, 3, 4), torch.randn(n, 2, 4))
    yield "picks", Call(lambda p, x: x.topk(2, -1)[0] + x.gather(1, x.argmax(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1)), \
        floats(6)


def exports(module, inputs, path):
    """Writes the module each way that is there; yields what it was written by."""
    import torch
    given = dict(dynamic_axes={f"x{i}": {0: "batch"} for i in range(len(inputs))},
                 input_names=[f"x{i}" for i in range(len(inputs))])
    for opset in OPSETS:
        with contextlib.redirect_stdout(None):  # where it fails it prints the whole graph
            torch.onnx.export(module, inputs, path, opset_version=opset, dynamo=False, **given)
        yield f"opset {opset}"
    if installed("onnxscript"):
        batch = torch.export.Dim("batch")
        torch.onnx.export(module, inputs, path, dynamo=True, dynamic_shapes=([{0: batch} for _ in inputs],))
        yield "the newer exporter"


def from_pytorch(t, folder):
    """How many agree, and how many differ."""
    import torch
    good = bad = 0
    path = os.path.join(folder, "model.onnx")
    for name, module, inputs in models():
        module.eval()
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                x = inputs(3)
                want = module(*x).numpy()
                for by in exports(module, inputs(2), path):
                    wrong = on_model(t, path, [i.numpy() for i in x], want)
                    good, bad = good + (not wrong), bad + bool(wrong)
                    if wrong:
                        print(f"FAILED   {name}, {by}: {wrong}")
        except Exception as e:
            bad += 1
            print(f"FAILED   {name}: {type(e).__name__}: {str(e)[:300]}")
    return good, bad


def on_model(t, path, inputs, want):
    """None, or what is wrong."""
    scope = t.scope_push()
    m = None
    try:
        m = load.load(t, path)
        return difference(t.numpy(load.run(t, m, inputs)[0]), want)
    except Exception as e:
        return f"{type(e).__name__}: {str(e)[:300]}"
    finally:
        t.module_free(m) if m else None
        t.scope_pop(scope)


def main():
    p = argparse.ArgumentParser(usage="tests/onnx/both_ways.py [--build DIR]")
    p.add_argument("--build", default="build/release")
    args = p.parse_args()
    t = api.load(args.build)
    good = bad = 0
    with tempfile.TemporaryDirectory() as folder:
        if installed("onnxruntime"):
            code = subprocess.run([sys.executable, os.path.join(HERE, "export.py"), "--build", args.build, "--keep", folder]).returncode
            score = load.Score(True)
            load.exported(t, argparse.Namespace(exported=folder, only=""), score)
            for why, names in score.refused.items():
                print(f"FAILED   {', '.join(names)}: {why}")
            refused = sum(map(len, score.refused.values()))
            good, bad = score.passed, (code != 0) + len(score.failed) + refused
            print(f"{score.passed} of {score.passed + len(score.failed) + refused} come back to Tern")
        else:
            print("skipped: Tern's models, there is no onnxruntime")
        if installed("torch"):
            agree, differ = from_pytorch(t, folder)
            good, bad = good + agree, bad + differ
            print(f"{agree} of {agree + differ} of PyTorch's models agree")
        else:
            print("skipped: PyTorch's models, there is no PyTorch")
    return 2 if not good and not bad else 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
