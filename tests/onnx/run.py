#!/usr/bin/env python3
"""Runs ONNX operator cases through Tern's C API, op by op: a check from outside.

    tests/onnx/run.py --build build/release FOLDER...        (needs numpy, onnx)

A case is a folder with model.onnx and test_data_set_N/{input,output}_M.pb; a FOLDER is a case or holds cases. Each case
passes, fails, or is excluded with the reason: a dtype that Tern does not have, an operator outside of what Tern is for,
a behaviour that it refuses by design. What an operator means is in the files ops_*.py, by Tern's functions alone: NumPy
only unpacks files, attributes and the small integer tensors that ONNX gives where Tern takes plain arguments (shapes,
axes, pads), and compares.

Prints a line a case (with -q: only the failures), the exclusions by reason, and "N passed, N failed, N excluded". The
exit code is 1 if one failed, 2 if no case was found. Tolerances are those of ONNX's own runner (rtol 1e-3, atol 1e-7)
unless a case's folder says otherwise; f16 and bf16 results get rtol 1e-2 and 2e-2, atol 1e-3."""
import argparse
import collections
import glob
import os
import sys
import traceback

import numpy as np
import onnx
from onnx import numpy_helper

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import api  # noqa: E402
from ops import Excluded, Node, OPS, OUTSIDE, Values  # noqa: E402


def data(path, kind):
    """The value in a .pb file whose type the graph gives."""
    with open(path, "rb") as f:
        raw = f.read()
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        raise Excluded("sequences are no tensors")
    if which == "optional_type":
        raise Excluded("optional values are no tensors")
    if which == "map_type":
        raise Excluded("maps are no tensors")
    if which == "sparse_tensor_type":
        raise Excluded("sparse tensors")
    t = onnx.TensorProto()
    t.ParseFromString(raw)
    return to_array(t)


def to_array(t):
    if t.data_type == onnx.TensorProto.STRING:
        raise Excluded("strings")
    return numpy_helper.to_array(t)


def check_dtypes(values):
    for v in values:
        name = str(v.dtype)
        if name not in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"):
            raise Excluded(f"dtype {name}")


def run_graph(t, graph, opset, given):
    """Evaluates the nodes in order; values are api.Tensor by name."""
    values = Values(t)
    for init in graph.initializer:
        a = to_array(init)
        check_dtypes([a])
        values.put(init.name, a)
    for name, a in given.items():
        values.put(name, a)
    for proto in graph.node:
        if proto.domain not in ("", "ai.onnx"):
            raise Excluded(f"operators of the domain {proto.domain}")
        if proto.op_type in OUTSIDE:
            raise Excluded(f"{proto.op_type}: {OUTSIDE[proto.op_type]}")
        if proto.op_type not in OPS:
            raise Excluded(f"{proto.op_type}: unknown to this harness")
        node = Node(t, proto, opset, values)
        results = OPS[proto.op_type](t, node)
        if not isinstance(results, (list, tuple)):
            results = [results]
        for name, r in zip(proto.output, results):
            if name:
                values.put(name, r)
    return [values.numpy(o.name) for o in graph.output]


def close(got, want, what):
    if got.shape != want.shape:
        return f"{what}: shape {list(got.shape)}, expected {list(want.shape)}"
    if str(got.dtype) != str(want.dtype):
        return f"{what}: dtype {got.dtype}, expected {want.dtype}"
    name = str(want.dtype)
    if not name.startswith(("float", "bfloat")):
        wrong = np.argwhere(got != want)
        return f"{what}: {len(wrong)} elements differ" if len(wrong) else None
    rtol, atol = {"float16": (1e-2, 1e-3), "bfloat16": (2e-2, 1e-3)}.get(name, (1e-3, 1e-7))
    g, w = got.astype(np.float64), want.astype(np.float64)
    ok = np.isclose(g, w, rtol=rtol, atol=atol, equal_nan=True)
    if ok.all():
        return None
    at = tuple(np.argwhere(~ok)[0])
    return f"{what}: {np.count_nonzero(~ok)} of {ok.size} elements differ, first at {list(at)}: {g[at]!r}, expected {w[at]!r}"


def run_case(t, folder):
    """None, or what is wrong. Raises Excluded."""
    model = onnx.load(os.path.join(folder, "model.onnx"))
    opset = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] or [0])
    others = sorted({n.domain for n in model.graph.node} - {"", "ai.onnx"})
    if others:
        raise Excluded(f"operators of the domain {others[0]}")
    for n in model.graph.node:
        if n.op_type in OUTSIDE:
            raise Excluded(f"{n.op_type}: {OUTSIDE[n.op_type]}")
    if len(model.functions):
        raise Excluded("models with functions of their own")
    given = [i for i in model.graph.input if i.name not in {x.name for x in model.graph.initializer}]
    sets = sorted(glob.glob(os.path.join(folder, "test_data_set_*")))
    if not sets:
        return "no test_data_set"
    for s in sets:
        inputs, outputs = {}, []
        for i, g in enumerate(given):
            path = os.path.join(s, f"input_{i}.pb")
            if os.path.exists(path):
                inputs[g.name] = data(path, g.type)
        for i, g in enumerate(model.graph.output):
            outputs.append(data(os.path.join(s, f"output_{i}.pb"), g.type))
        check_dtypes(inputs.values())
        check_dtypes(outputs)
        scope = t.scope_push()
        try:
            got = run_graph(t, model.graph, opset, inputs)
            for o, g, w in zip(model.graph.output, got, outputs):
                wrong = close(g, w, o.name)
                if wrong and not random_output(model.graph, o.name):
                    return wrong
                if wrong and (g.shape != w.shape or g.dtype != w.dtype):
                    return wrong
        finally:
            t.scope_pop(scope)
    return None


def random_output(graph, name):
    """Draws are the operator's own: only shape and dtype can be compared."""
    return any(n.op_type in ("Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
                             "Multinomial") for n in graph.node)


def cases(folders):
    found = []
    for f in folders:
        if os.path.exists(os.path.join(f, "model.onnx")):
            found.append(f)
        else:
            found += [os.path.dirname(m) for m in sorted(glob.glob(os.path.join(f, "**", "model.onnx"), recursive=True))]
    return found


def main():
    p = argparse.ArgumentParser(usage="tests/onnx/run.py [--build DIR] [-q] [--only TEXT] FOLDER...")
    p.add_argument("folders", nargs="+")
    p.add_argument("--build", default="build/release")
    p.add_argument("--only", default="", help="cases whose name contains this")
    p.add_argument("-q", "--quiet", action="store_true", help="print no line for what passed or was excluded")
    p.add_argument("--trace", action="store_true")
    args = p.parse_args()
    t = api.load(args.build)
    passed, failed, excluded = [], [], collections.defaultdict(list)
    for folder in cases(args.folders):
        name = os.path.basename(folder)
        if args.only not in name:
            continue
        try:
            wrong = run_case(t, folder)
        except Excluded as e:
            excluded[str(e)].append(name)
            if not args.quiet:
                print(f"EXCLUDED {name}: {e}")
            continue
        except Exception as e:  # a handler's mistake is the case's failure, not the harness's end
            if args.trace:
                traceback.print_exc()
            wrong = f"{type(e).__name__}: {e}"
        if wrong:
            failed.append(name)
            print(f"FAILED   {name}: {wrong}")
        else:
            passed.append(name)
            if not args.quiet:
                print(f"passed   {name}")
    for reason in sorted(excluded):
        names = excluded[reason]
        print(f"excluded {len(names)}: {reason} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    print(f"{len(passed)} passed, {len(failed)} failed, {sum(map(len, excluded.values()))} excluded")
    if not (passed or failed or excluded):
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
