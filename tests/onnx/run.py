#!/usr/bin/env python3
"""Runs ONNX operator cases through Tern's C API, op by op: a check from outside.

    tests/onnx/run.py --build build/release FOLDER...        (needs numpy, onnx)

A case is a folder with model.onnx and test_data_set_N/{input,output}_M.pb; a FOLDER is a case or holds cases. Each case
passes, fails, or is excluded with the reason: a dtype that Tern does not have, an operator outside of what Tern is for,
a behaviour that it refuses by design. What an operator means is in the files ops/*.py, by Tern's functions alone: NumPy
only unpacks files, attributes and the small integer tensors that ONNX gives where Tern takes plain arguments (shapes,
axes, pads), and compares.

Prints a line a case (with -q: only the failures), the exclusions by reason, and "N passed, N failed, N excluded". The
exit code is 1 if one failed, 2 if no case was found. Tolerances are those of ONNX's own runner, rtol 1e-3 and atol 1e-7
(for Fourier transforms 1e-6 of the largest number); f16 and bf16 results get rtol 1e-2 and 2e-2, atol 1e-3."""
import argparse
import collections
import glob
import os
import sys
import traceback

import numpy as np
import onnx

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import api  # noqa: E402
from ops import DOMAINS, Excluded, Node, OPS, OUTSIDE, Values, to_array  # noqa: E402
from ops.draws import drawn, plausible  # noqa: E402


def data(t, path, kind):
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
    proto = onnx.TensorProto()
    proto.ParseFromString(raw)
    return to_array(t, proto)


def run_graph(t, graph, opset, given, outer=None):
    """Evaluates the nodes in order; the graph's outputs, as api.Tensor. outer: what an inner graph sees besides."""
    values = Values(t, outer)
    for init in graph.initializer:
        values.put(init.name, to_array(t, init))
    for name, a in given.items():
        values.put(name, a)

    def inner(graph, inputs):
        return run_graph(t, graph, opset, dict(zip([i.name for i in graph.input], inputs)), values)
    for proto in graph.node:
        other_domain(proto)
        if proto.op_type in OUTSIDE:
            raise Excluded(f"{proto.op_type}: {OUTSIDE[proto.op_type]}")
        if proto.op_type not in OPS:
            raise NotImplementedError(f"no handler for {proto.op_type}")
        node = Node(t, proto, opset, values, inner)
        results = OPS[proto.op_type](t, node)
        if not isinstance(results, (list, tuple)):
            results = [results]
        for name, r in zip(proto.output, results):
            if name:
                values.put(name, r)
    return [values.of[o.name] for o in graph.output]


def other_domain(node):
    if node.domain not in ("", "ai.onnx", "ai.onnx.preview"):
        raise Excluded(f"operators of the domain {node.domain}: {DOMAINS.get(node.domain, 'none of the standard')}")


def close(got, want, what, noise=0.0):
    """None, or how got differs; by `noise` times the largest number it may."""
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
    if noise:
        atol = max(atol, noise * np.max(np.abs(w), initial=0.0))
    ok = np.isclose(g, w, rtol=rtol, atol=atol, equal_nan=True)
    if ok.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~ok)[0])
    return f"{what}: {np.count_nonzero(~ok)} of {ok.size} elements differ, first at {list(at)}: {g[at]}, expected {w[at]}"


def run_case(t, folder):
    """None, or what is wrong. Raises Excluded."""
    model = onnx.load(os.path.join(folder, "model.onnx"))
    opset = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] or [0])
    for n in model.graph.node:
        other_domain(n)
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
                inputs[g.name] = data(t, path, g.type)
        for i, g in enumerate(model.graph.output):
            outputs.append(data(t, os.path.join(s, f"output_{i}.pb"), g.type))
        scope = t.scope_push()
        try:
            t.seed(1)
            got = [t.numpy(y) for y in run_graph(t, model.graph, opset, inputs)]
            if drawn(model.graph, inputs):
                wrong = plausible(model.graph, inputs, list(zip(got, outputs)))
            else:
                # What cancels in a transform leaves rounding of the size of what it sums.
                noise = 1e-6 if any(n.op_type in ("DFT", "STFT") for n in model.graph.node) else 0.0
                found = (close(g, w, o.name, noise) for o, g, w in zip(model.graph.output, got, outputs))
                wrong = next(filter(None, found), None)
            if wrong:
                return wrong
        finally:
            t.scope_pop(scope)
    return None


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
