#!/usr/bin/env python3
"""Runs ONNX models that Tern has loaded itself: ONNX's operator cases, and what Tern exported.

    tests/onnx/load.py --build build/release [FOLDER...]        (needs numpy, onnx)

The operator cases are those of the package onnx (onnx.backend.test) and of FOLDERs that hold model.onnx with
test_data_set_N. A case passes, fails, or is refused by tern_onnx_load or tern_onnx_run with TERN_ERR_UNSUPPORTED (an op, an
attribute, a dtype); anything else is a failure. Prints the refusals by op. Ends with 1 on a failure, 2 if nothing was run."""
import argparse
import collections
import ctypes as C
import glob
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import api  # noqa: E402
from run import close, data  # noqa: E402
from ops import Excluded, to_array  # noqa: E402


class Refused(Exception):
    pass


def load(t, path):
    try:
        return C.c_void_p(t.onnx_load(path))
    except api.TernError as e:
        if e.code == t.enums["tern_code"]["TERN_ERR_UNSUPPORTED"]:
            raise Refused(str(e)) from None
        raise


def run(t, m, inputs):
    """The outputs of the loaded model m for NumPy arrays, or Tern's tensors."""
    x = [i if isinstance(i, api.Tensor) else t.tensor(i) for i in inputs]
    given = (C.c_void_p * max(len(x), 1))(*[i.address for i in x])
    n = t.onnx_outputs(m)
    out = api.Out(n)
    try:
        t.onnx_run(m, given, len(x), out, n)
    except api.TernError as e:
        if e.code == t.enums["tern_code"]["TERN_ERR_UNSUPPORTED"]:
            raise Refused(str(e)) from None
        raise
    return [out[i] for i in range(n)]


def on_model(t, path, inputs, outputs):
    """None, or what is wrong."""
    scope = t.scope_push()
    m = None
    try:
        m = load(t, path)
        for i, (got, want) in enumerate(zip(run(t, m, inputs), outputs)):
            wrong = close(t.numpy(got), want, f"output {i}")
            if wrong:
                return wrong
    finally:
        t.module_free(m) if m else None
        t.scope_pop(scope)
    return None


def packaged():
    """The cases that the package makes: name, model, list of (inputs, outputs)."""
    from onnx.backend.test.case.node import collect_testcases
    try:
        cases = collect_testcases(None)
    except AttributeError as e:  # onnx 1.12 makes them with names that NumPy has no more
        print(f"skipped: the cases of onnx {onnx.__version__}: {str(e).splitlines()[0]}")
        return
    for c in cases:
        yield c.name, c.model, c.data_sets


def foldered(folders):
    for f in folders:
        for path in sorted(glob.glob(os.path.join(f, "**", "model.onnx"), recursive=True)):
            yield os.path.basename(os.path.dirname(path)), path


def tensors(values):
    if any(isinstance(v, (list, dict)) or v is None for v in values):
        raise Refused("sequences, maps and absent values are no tensors")
    out = []
    for v in values:
        v = numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else np.asarray(v)
        if v.dtype.kind not in "fiub" or v.dtype.itemsize == 1 and v.dtype.name[0] == "f" or v.dtype in (np.int8, np.int16, np.uint16, np.uint32, np.uint64):
            raise Refused(f"a tensor of {v.dtype}")
        out.append(v)
    return out


class Score:
    def __init__(self, quiet):
        self.passed, self.failed, self.refused, self.quiet = 0, [], collections.defaultdict(list), quiet

    def add(self, name, job):
        try:
            wrong = job()
        except (Refused, Excluded) as e:
            self.refused[str(e).split(" (")[0][:150]].append(name)
            return
        except Exception as e:
            wrong = f"{type(e).__name__}: {str(e)[:300]}"
        if wrong:
            self.failed.append(name)
            print(f"FAILED   {name}: {wrong}")
        else:
            self.passed += 1
            if not self.quiet:
                print(f"passed   {name}")


def operator_cases(t, args, score, folder):
    path = os.path.join(folder, "case.onnx")
    for name, model, sets in packaged():
        if args.only not in name or model is None:
            continue
        def job(model=model, sets=sets):
            onnx.save(model, path)
            for inputs, outputs in sets:
                wrong = on_model(t, path, tensors(inputs), tensors(outputs))
                if wrong:
                    return wrong
        score.add(name, job)
    for name, path_ in foldered(args.folders):
        if args.only not in name:
            continue
        def job(path_=path_):
            model = onnx.load(path_)
            known = {i.name for i in model.graph.initializer}
            for s in sorted(glob.glob(os.path.join(os.path.dirname(path_), "test_data_set_*"))):
                read = lambda kind, list_: [data(t, os.path.join(s, f"{kind}_{i}.pb"), g.type) for i, g in enumerate(list_)]
                inputs = read("input", [i for i in model.graph.input if i.name not in known])
                wrong = on_model(t, path_, inputs, read("output", model.graph.output))
                if wrong:
                    return wrong
        score.add(name, job)


def exported(t, args, score):
    """What tests/onnx/export.py left in a folder: in again."""
    if not args.exported:
        return
    from export import saved
    for path in sorted(glob.glob(os.path.join(args.exported, "*.onnx"))):
        stem = path[:-5]
        if args.only in stem:
            score.add(os.path.basename(stem), lambda: on_model(t, path, saved(stem, "in"), saved(stem, "out")))


def main():
    p = argparse.ArgumentParser(usage="tests/onnx/load.py [--build DIR] [-q] [--only TEXT] [--exported DIR] [FOLDER...]")
    p.add_argument("folders", nargs="*")
    p.add_argument("--build", default="build/release")
    p.add_argument("--exported", help="the folder of tests/onnx/export.py --keep")
    p.add_argument("--only", default="", help="cases whose name contains this")
    p.add_argument("-q", "--quiet", action="store_true", help="print no line for what passed")
    args = p.parse_args()
    t = api.load(args.build)
    score = Score(args.quiet)
    with tempfile.TemporaryDirectory() as folder:
        exported(t, args, score)
        operator_cases(t, args, score, folder)
    for why in sorted(score.refused):
        names = score.refused[why]
        print(f"refused {len(names)}: {why} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    refused = sum(map(len, score.refused.values()))
    print(f"{score.passed} passed, {len(score.failed)} failed, {refused} refused")
    return 2 if not score.passed else 1 if score.failed else 0


if __name__ == "__main__":
    sys.exit(main())
