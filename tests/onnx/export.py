#!/usr/bin/env python3
"""What Tern exports, run by onnxruntime: every layer of tests/nn_rows.def, and models.

    tests/onnx/export.py --build build/release        (needs numpy, onnx, onnxruntime)

The outputs agree to 1e-5, relative to the largest of them. Ends with 1 on a difference, 2 if there was nothing to compare."""
import argparse
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx


def run(model, inputs):
    import onnxruntime
    onnx.checker.check_model(onnx.load(model), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), inputs)})


def difference(got, want):
    """None, or how got differs."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}"
    g, w = got.astype(np.float64), want.astype(np.float64)
    if not np.array_equal(np.isfinite(g), np.isfinite(w)):
        return "finite in other places"
    scale = max(1.0, np.max(np.abs(w[np.isfinite(w)]), initial=0))
    off = np.max(np.abs(g - w)[np.isfinite(w)], initial=0) / scale
    return f"off by {off:.2g}" if off > 1e-5 else None


def saved(stem, kind):
    n = len(glob.glob(f"{glob.escape(stem)}.{kind}_*.npy"))
    return [np.load(f"{stem}.{kind}_{i}.npy") for i in range(n)]


def main():
    p = argparse.ArgumentParser(usage="tests/onnx/export.py [--build DIR]")
    p.add_argument("--build", default="build/release")
    p.add_argument("--keep", help="a folder for the models, which stay")
    args = p.parse_args()
    failed = count = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = args.keep or folder
        for program, test in (("nn_table", "nn_table/to_onnx"), ("io_onnx", "io_onnx/exports_models")):
            subprocess.run([os.path.join(args.build, f"tests/test-{program}"), "--filter", test], check=True,
                           env={**os.environ, "TERN_ONNX_DIR": folder})
        for model in sorted(glob.glob(os.path.join(folder, "*.onnx"))):
            stem, count = model[:-5], count + 1
            wrong = None
            try:
                outputs = run(model, saved(stem, "in"))
                for got, want in zip(outputs, saved(stem, "out")):
                    wrong = wrong or difference(got, want)
            except Exception as e:
                wrong = f"{type(e).__name__}: {e}"
            if wrong:
                failed += 1
                print(f"FAILED   {os.path.basename(stem)}: {wrong}")
    print(f"{count - failed} of {count} models agree")
    return 2 if count == 0 else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
