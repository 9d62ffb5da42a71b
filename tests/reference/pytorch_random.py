#!/usr/bin/env python3
"""Random calls of Tern's public functions beside PyTorch's of the same meaning: shapes, dtypes, strides, options and edge
values are drawn, and values, dtypes and gradients (of a random cotangent) compared.

    tests/reference/pytorch_random.py --build BUILD [--family NAME] [--cases N] [--seed S]
    tests/reference/pytorch_random.py --build BUILD --only OP [--case K]     one function, or one case of it

The families are the files of random_families/; each draws its functions' cases. The reference is PyTorch on the same
numbers in f64; the same call in the case's own dtype gives the result's dtype, and how much its rounding costs there.
An element agrees with either within (rtol, atol) f64 1e-7 1e-7, f32 1.3e-6 1e-5, f16 1e-3 1e-5, bf16 1.6e-2 1e-5, or with the first within twice
PyTorch's own worst error in that dtype (up to 32 times rtol of the largest element or 0.1): sums that cancel lose digits in
both (where PyTorch lacks
the dtype: within twice rtol of the largest element). Prints cases and mismatches by function, and what is left out and why; ends with 1 on a mismatch.
Needs PyTorch, so it is not among the gates: a tool to find differences with; what it finds gets a row in tests/cases."""
import argparse
import ctypes
import importlib.util
import os
import pickle
import sys
import time
import traceback
import warnings
import zlib

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]
import api  # noqa: E402

FAMILIES = ["losses", "norms", "image", "index", "shape", "conv", "linalg", "sequence", "pointwise", "reductions"]
HEADERS = ["loss.h", "norm.h", "image.h", "index.h", "shape.h", "conv.h", "linalg.h", "sequence.h", "pointwise.h", "reduce.h"]
TORCH = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
         "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}
NAME = {v: k for k, v in TORCH.items()}
FLOATS = ("f64", "f32", "f16", "bf16")
TOLERANCE = {"f64": (1e-7, 1e-7), "f32": (1.3e-6, 1e-5), "f16": (1e-3, 1e-5), "bf16": (1.6e-2, 1e-5)}
OPS, LEFT_OUT = [], []  # (family, name, draw, dtypes); (family, names, reason)


class Refused(Exception):
    """A draw that PyTorch refuses, found while it is made."""


class Input:
    """Values of a dtype behind a chain of views: base is what the leaf holds."""
    def __init__(self, base, chain, dtype, grad):
        self.base, self.chain, self.dtype, self.grad = base, chain, dtype, grad

    def tern(self, t):
        leaf = made(t, self.base, code(t, self.dtype))
        if self.grad:
            t.require_grad(leaf, True)
        x = leaf
        for step in self.chain:
            x = getattr(t, step[0])(x, *step[1:])
        return leaf, x

    def torch(self, wide):
        dtype = torch.float64 if wide and self.dtype in FLOATS else TORCH[self.dtype]
        leaf = torch.tensor(self.base.copy()).to(dtype).requires_grad_(self.grad)
        x = leaf
        for step in self.chain:
            if step[0] == "slice":
                at = [slice(None)] * x.dim()
                at[step[1]] = slice(*step[2:])
                x = x[tuple(at)]
            else:
                x = getattr(x, step[0])(*step[1:])
        return leaf, x

    def __repr__(self):
        steps = "".join("." + s[0] for s in self.chain)
        return f"{self.dtype}{list(self.base.shape)}{steps}"


class Draw:
    """What a family draws from."""
    def __init__(self, rng, dtype, t):
        self.rng, self.dtype, self.t = rng, dtype, t
        self.notes = {}

    # ---- plain choices
    def integer(self, lo, hi):
        """In [lo, hi]."""
        return int(self.rng.integers(lo, hi + 1))

    def chance(self, p):
        return bool(self.rng.random() < p)

    def pick(self, *among):
        return among[self.rng.integers(len(among))]

    def note(self, **what):
        self.notes.update(what)

    def enum(self, name):
        """An enumerator's number: "TERN_REDUCE_SUM"."""
        return next(e[name] for e in self.t.enums.values() if name in e)

    # ---- shapes
    def size(self, empty=True):
        if empty and self.chance(0.02):
            return 0
        return self.pick(1, 2, 3, 4, 5, 7) if not self.chance(0.04) else self.integer(8, 40)

    def shape(self, lo=0, hi=4, empty=True):
        return tuple(self.size(empty) for _ in range(self.integer(lo, hi)))

    def broadcasts(self, n, hi=4, empty=True):
        """n shapes that broadcast to one."""
        full = self.shape(0, hi, empty)
        shapes = []
        for _ in range(n):
            s = list(full[self.integer(0, len(full)) if self.chance(0.3) else 0:])
            shapes.append(tuple(1 if self.chance(0.2) else k for k in s))
        return shapes

    def dim(self, shape):
        return self.integer(-len(shape), len(shape) - 1)

    # ---- inputs
    def view(self, v, dtype, grad, expand=True):
        chain = []
        filler = np.nan if dtype in FLOATS else (99 if dtype != "bool" else True)
        if v.ndim and expand and self.chance(0.08):
            d = self.integer(0, v.ndim - 1)
            if v.shape[d] > 1:
                chain.append(("expand", tuple(v.shape)))
                v = v.take([0], d)
        while v.ndim and self.chance(0.35) and len(chain) < 3:
            if v.ndim > 1 and self.chance(0.5):
                i, j = self.rng.choice(v.ndim, 2, replace=False)
                v = v.swapaxes(i, j)
                chain.append(("transpose", int(i), int(j)))
            else:
                d, step, start, tail = self.integer(0, v.ndim - 1), self.integer(1, 3), self.integer(0, 2), self.integer(0, 2)
                n = v.shape[d]
                end = start + (n - 1) * step + 1 if n else start
                base = np.full(v.shape[:d] + (end + tail,) + v.shape[d + 1:], filler, v.dtype)
                base[(slice(None),) * d + (slice(start, end, step),)] = v
                v = base
                chain.append(("slice", d, start, end, step))
        return Input(v, chain[::-1], dtype, grad)

    def of(self, v, dtype=None, grad=None, expand=True):
        """These values, in a random layout."""
        dtype = dtype or self.dtype
        if dtype in FLOATS:
            v = torch.tensor(np.asarray(v, np.float64)).to(TORCH[dtype]).double().numpy()
        return self.view(np.asarray(v), dtype, dtype in FLOATS if grad is None else grad, expand)

    # special: infinities, zeros, large and small numbers among the others, and NaN unless it is "numbers"
    def real(self, shape, lo=-3., hi=3., grad=True, special=False, ties=True, dtype=None, expand=True):
        v = self.rng.uniform(lo, hi, shape)
        if ties and self.chance(0.2):
            v = np.clip(np.round(v * 2) / 2, lo, hi)
        if special and self.chance(0.15) and v.size:
            v = np.array(v)
            for _ in range(self.integer(1, 3)):
                v.flat[self.integer(0, v.size - 1)] = self.pick(np.inf, -np.inf, 0., -0., 1e4, -1e4, 1e-7,
                                                                np.nan if special is True else 1.)
        return self.of(v, dtype, grad, expand)

    def distinct(self, shape, lo=-3., hi=3., grad=True):
        """No two alike, well apart."""
        n = int(np.prod(shape))
        v = (self.rng.permutation(n) + 0.5) / max(n, 1) * (hi - lo) + lo
        return self.of(v.reshape(shape), None, grad, False)

    def whole(self, shape, lo, hi, dtype=None, expand=True):
        return self.of(self.rng.integers(lo, hi + 1, shape), dtype or self.pick("i64", "i64", "i32"), False, expand)

    def index(self, shape, n):
        return self.whole(shape, 0, n - 1)

    def bools(self, shape, p=0.5):
        return self.of(self.rng.random(shape) < p, "bool", False)

    def maybe(self, make, p=0.5):
        return make() if self.chance(p) else None

    def any_dtype(self):
        return self.dtype if self.chance(0.6) else self.pick("i64", "i32", "u8", "bool")

    def any(self, shape, dtype=None, special=False):
        """Of the given dtype: small whole numbers in integers."""
        dtype = dtype or self.any_dtype()
        if dtype in FLOATS:
            return self.real(shape, dtype=dtype, special=special)
        if dtype == "bool":
            return self.bools(shape)
        return self.whole(shape, 0 if dtype == "u8" else -5, 5, dtype)


class Case:
    """tern(t, *inputs) and torch(*inputs) return a tensor or a list of them; inputs may be None."""
    def __init__(self, inputs, tern, torch, grad=True, dtype=True, loosen=1.):
        self.inputs, self.tern, self.torch, self.grad, self.dtype, self.loosen = inputs, tern, torch, grad, dtype, loosen


def op(name, dtypes=FLOATS):
    def add(draw):
        OPS.append((add.family, name, draw, dtypes))
        return draw
    add.family = op.family
    return add


def left_out(names, reason):
    LEFT_OUT.append((op.family, names, reason))


op.family = ""


def code(t, dtype):
    return t.enums["tern_dtype"]["TERN_" + dtype.upper()]


def made(t, v, dtype):
    v = np.array(v, np.float64, order="C")
    return t.from_doubles(v.ctypes.data_as(ctypes.c_void_p), v.shape, {"dtype": dtype})


def values(t, x):
    shape = t.shape(x)
    v = np.empty(shape, np.float64)
    t.to_doubles(x, v.ctypes.data_as(ctypes.c_void_p), v.size)
    return v


def listed(r):
    return list(r) if isinstance(r, (list, tuple)) else [r]


def run_torch(case, wide, seeds, dense=False):
    """Outputs and gradients of the inputs (None where there are none). Some of PyTorch's functions, or their gradients,
    do not take every layout: those get copies."""
    try:
        return call_torch(case, wide, seeds, dense)
    except RuntimeError as e:
        if dense or not any(w in str(e) for w in ("view size is not compatible", "must be contiguous")):
            raise
        return run_torch(case, wide, seeds, True)


def call_torch(case, wide, seeds, dense):
    inputs = [i.torch(wide) if i is not None else (None, None) for i in case.inputs]
    outs = listed(case.torch(*[m[1].clone(memory_format=torch.contiguous_format) if dense and m[1] is not None else m[1]
                               for m in inputs]))
    leaves = [m[0] for m in inputs if m[0] is not None and m[0].requires_grad]
    ys = [o for o in outs if o.requires_grad]
    grads = [None] * len(leaves)
    if case.grad and leaves and ys:
        ss = [s.to(o.dtype) for o, s in zip(outs, seeds(outs)) if o.requires_grad]
        grads = torch.autograd.grad(ys, leaves, ss, allow_unused=True)
    grads = [torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves)]
    return [o.detach() for o in outs], grads


def run_tern(t, case, dtype, seeds, wanted):
    inputs = [i.tern(t) if i is not None else (None, None) for i in case.inputs]
    outs = listed(case.tern(t, *[m[1] for m in inputs]))
    leaves = [m[0] for i, m in zip(case.inputs, inputs) if i is not None and i.grad]
    ys, ss = [], []
    if case.grad and leaves:
        for o, s in zip(outs, seeds):
            if t.requires_grad(o):
                ys.append(o)
                ss.append(made(t, s.double().numpy(), t.dtype_of(o)))
    grads = [None] * len(leaves)
    if ys and wanted:
        out = api.Out(len(leaves))
        t.grads(ys, ss, len(ys), leaves, len(leaves), {"allow_unused": True}, out)
        grads = [out[i] for i in range(len(leaves))]
    named = [(t.dtype_name(o), values(t, o)) for o in outs]
    return named, [np.zeros(t.shape(x)) if g is None else values(t, g) for g, x in zip(grads, leaves)]


def compare(what, got, want, native, dtype, loosen):
    """None, or what is wrong. want: f64 tensor; native: PyTorch's in the dtype, or None."""
    if tuple(got.shape) != tuple(want.shape):
        return f"{what}: shape {tuple(got.shape)}, PyTorch {tuple(want.shape)}"
    if dtype not in FLOATS:
        w = want.double().numpy()
        bad = got != w
        rtol = atol = slack = 0.
    else:
        rounded = want.to(TORCH[dtype]).double().numpy()
        w = np.where(np.isfinite(rounded), want.double().numpy(), rounded)
        rtol, atol = TOLERANCE[dtype]
        slack = 0.
        finite = np.abs(w[np.isfinite(w)])
        if native is None and finite.size:
            slack = 2 * rtol * finite.max()
        if native is not None and tuple(native.shape) == tuple(want.shape) and finite.size:
            with np.errstate(invalid="ignore"):
                e = np.abs(native.double().numpy() - w)
            e = e[np.isfinite(e)]
            slack = min(2 * e.max() if e.size else 0., 32 * rtol * max(finite.max(), 0.1))

        def near(v, more):
            with np.errstate(invalid="ignore"):
                return (got == v) | (np.isnan(got) & np.isnan(v)) | (np.abs(got - v) <= loosen * (atol + rtol * np.abs(v) + more))
        bad = ~near(w, slack)
        if native is not None and tuple(native.shape) == tuple(want.shape):
            bad &= ~near(native.double().numpy(), 0.)
    if not bad.any():
        return None
    i = np.argmax(bad.ravel())
    n = "" if native is None else f", PyTorch in {dtype} {native.double().numpy().ravel()[i]:.9g}"
    at = np.unravel_index(i, got.shape)
    return f"{what}: {int(bad.sum())} of {bad.size}, at {[int(k) for k in at]} {got.ravel()[i]:.9g}, PyTorch {w.ravel()[i]:.9g}{n}"


def one(t, name, draw, dtypes, seed, k):
    """Runs case k; returns None or a description of what is wrong."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), k])
    dtype = dtypes[rng.choice(len(dtypes), p=np.array([3., 3., 1.5, 1.5][:len(dtypes)]) / sum([3., 3., 1.5, 1.5][:len(dtypes)]))]
    g = Draw(rng, dtype, t)
    try:
        case = draw(g)
    except Refused:
        return None
    about = f"{name} case {k}: {case.inputs} {g.notes or ''}"
    noise = int(rng.integers(1 << 31))

    def seeds(outs):
        r = np.random.default_rng(noise)
        return [torch.tensor(r.uniform(-2, 2, tuple(o.shape))).to(TORCH[dtype]) for o in outs]
    refused = None
    wants = native = None
    try:
        wants, want_grads = run_torch(case, True, seeds)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as e:
        refused = str(e).split("\n")[0][:200]
    if dtype in FLOATS and not refused:
        try:
            native = (wants, want_grads) if dtype == "f64" else run_torch(case, False, seeds)
        except (RuntimeError, NotImplementedError):
            pass
    scope = t.scope_push()
    try:
        outs, grads = run_tern(t, case, dtype, seeds(wants) if wants else [], not refused)
    except api.TernError as e:
        return None if refused else f"{about}\n    Tern refuses: {e}"
    finally:
        t.scope_pop(scope)
    if refused:
        return f"{about}\n    PyTorch refuses: {refused}"
    wrong = []
    for i, (o, w) in enumerate(zip(outs, wants)):
        n = native[0][i] if native else None
        if n is not None and case.dtype and o[0] != NAME.get(n.dtype):
            wrong.append(f"result {i}: dtype {o[0]}, PyTorch {n.dtype}")
        wrong.append(compare(f"result {i}", o[1], w, n, o[0], case.loosen))
    graded = [i for i in case.inputs if i is not None and i.grad]
    for i, (gr, w) in enumerate(zip(grads, want_grads)):
        wrong.append(compare(f"gradient {i}", gr, w, native[1][i] if native else None, graded[i].dtype, case.loosen))
    wrong = [w for w in wrong if w]
    return about + "".join(f"\n    {w}" for w in wrong) if wrong else None


def run(t, name, draw, dtypes, seed, which):
    wrong = []
    for k in which:
        try:
            w = one(t, name, draw, dtypes, seed, k)
        except Exception:
            w = f"{name} case {k}: {traceback.format_exc()}"
        if w:
            wrong.append(w)
    return wrong


def apart(work):
    """work's result, from a process of its own: a crash in either library is one mismatch, and spoils nothing else."""
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(r)
        with os.fdopen(w, "wb") as f:
            pickle.dump(work(), f)
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        text = f.read()
    status = os.waitpid(child, 0)[1]
    return pickle.loads(text) if text and status == 0 else [f"ended by itself, status {status}"]


def load(family):
    path = os.path.join(HERE, "random_families", family + ".py")
    spec = importlib.util.spec_from_file_location("random_" + family, path)
    op.family = family
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def main():
    sys.modules["pytorch_random"] = sys.modules[__name__]  # the families import what is above
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", required=True)
    p.add_argument("--family", choices=FAMILIES)
    p.add_argument("--only", help="one function")
    p.add_argument("--case", type=int, help="one case of it")
    p.add_argument("--cases", type=int, default=100, help="cases a function (100)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--show", type=int, default=3, help="mismatches printed a function (3)")
    a = p.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for f in FAMILIES:
        if f == (a.family or f):
            load(f)
    t = api.load(a.build)
    known = {name for _, name, _, _ in OPS}
    for _, name, _, _ in OPS:
        getattr(t, name.split("__")[0])
    if a.only and a.only not in known:
        p.error(f"no case draws {a.only}")
    cases = bad = 0
    print(f"{'function':32} {'cases':>7} {'mismatches':>10} {'seconds':>8}")
    for family, name, draw, dtypes in OPS:
        if a.only and name != a.only:
            continue
        began = time.monotonic()
        which = [a.case] if a.case is not None else range(a.cases)
        wrong = apart(lambda draw=draw, name=name, dtypes=dtypes, which=which: run(t, name, draw, dtypes, a.seed, which))
        cases += len(which)
        bad += len(wrong)
        print(f"{name:32} {len(which):7} {len(wrong):10} {time.monotonic() - began:8.1f}", flush=True)
        for w in wrong[:a.show]:
            print("  " + w)
    missing = []
    if not a.only:
        said = {n.split("__")[0] for n in known} | {n for _, names, _ in LEFT_OUT for n in names.split()}
        missing = [f.name[5:] for f in t.functions.values() if f.header in HEADERS and f.name[5:] not in said]
        missing = [] if a.family else missing
        print("\nleft out:")
        for family, names, reason in LEFT_OUT:
            print(f"  {names}: {reason}")
        if missing:
            print("  neither drawn nor left out with a reason:", *missing)
    print(f"\n{len(known)} functions, {cases} cases, {bad} mismatches")
    return 1 if bad or missing else 0


if __name__ == "__main__":
    sys.exit(main())
