"""core/shape.h."""
import numpy as np
import torch
import torch.nn.functional as F
from api import Out
from pytorch_random import Case, Refused, op


def unary(name, draw, lo=0, empty=True, torch_name=None):
    """draw(g, shape): the arguments of both libraries, (Tern's, PyTorch's)."""
    @op(name)
    def case(g):
        s = g.shape(lo, 4, empty)
        ours, theirs = draw(g, s)
        g.note(args=theirs)
        return Case([g.any(s)], lambda t, x: getattr(t, name)(x, *ours),
                    lambda x: (torch_name or getattr(torch, name))(x, *theirs))


def same(f):
    def draw(g, s):
        a = f(g, s)
        return a, a
    return draw


def reshaped(g, s):
    parts = list(s)
    n = int(np.prod(s))
    for _ in range(3):
        i = g.integer(0, max(len(parts) - 1, 0))
        if len(parts) > 1 and g.chance(0.5) and i + 1 < len(parts):
            parts[i:i + 2] = [parts[i] * parts[i + 1]]
        elif len(parts) < 7:
            k = [d for d in (2, 3, 5, 7) if parts and parts[i] and parts[i] % d == 0]
            parts[i:i + 1] = [k[0], parts[i] // k[0]] if k else ([1, parts[i]] if parts else [1])
    if n and parts and g.chance(0.4):
        parts[g.integer(0, len(parts) - 1)] = -1
    return (tuple(parts),)


unary("reshape", same(reshaped))
unary("flatten", same(lambda g, s: (lambda a, b: (a - (len(s) if g.chance(0.5) else 0), b))(*sorted([g.integer(0, len(s) - 1), g.integer(0, len(s) - 1)]))), 1)
unary("transpose", same(lambda g, s: (g.dim(s), g.dim(s))), 1)
unary("unsqueeze", same(lambda g, s: (g.integer(-len(s) - 1, len(s)),)))
unary("squeeze_all", same(lambda g, s: ()), torch_name=torch.squeeze)
unary("movedim", same(lambda g, s: (g.dim(s), g.dim(s))), 1)
for one in ("atleast_1d", "atleast_2d", "atleast_3d"):
    unary(one, same(lambda g, s: ()))
unary("contiguous", same(lambda g, s: ()), torch_name=torch.Tensor.contiguous)
unary("clone", same(lambda g, s: ()))
unary("rot90", lambda g, s: (lambda k, d: ((k, int(d[0]), int(d[1])), (k, [int(d[0]), int(d[1])])))(
    g.integer(-5, 5), g.rng.choice(len(s), 2, replace=False)), 2)
unary("tril", same(lambda g, s: (g.integer(-4, 4),)), 2)
unary("triu", same(lambda g, s: (g.integer(-4, 4),)), 2)
unary("repeat_interleave", same(lambda g, s: (g.integer(0, 3), g.dim(s))), 1)


@op("permute")
def _(g):
    s = g.shape()
    d = [int(k) - (len(s) if g.chance(0.3) else 0) for k in g.rng.permutation(len(s))]
    return Case([g.any(s)], lambda t, x: t.permute(x, d, len(d)), lambda x: x.permute(d))


@op("squeeze")
def _(g):
    s = list(g.shape(1, 4))
    d = g.dim(s)
    s[d] = 1
    return Case([g.any(tuple(s))], lambda t, x: t.squeeze(x, d), lambda x: x.squeeze(d))


@op("expand")
def _(g):
    s = [1 if g.chance(0.5) else k for k in g.shape()]
    to = tuple(g.shape(0, 2)) + tuple(g.size() if k == 1 else g.pick(k, -1) for k in s)
    g.note(to=to)
    return Case([g.any(tuple(s))], lambda t, x: t.expand(x, to), lambda x: x.expand(to))


@op("slice")
def _(g):
    s = g.shape(1, 4)
    d, a, b, step = g.dim(s), g.integer(-9, 9), g.integer(-9, 9), g.integer(1, 4)
    if g.chance(0.2):
        b = (1 << 63) - 1
    g.note(dim=d, start=a, end=b, step=step)

    def reference(x):
        at = [slice(None)] * x.dim()
        at[d] = slice(a, b, step)
        return x[tuple(at)]
    return Case([g.any(s)], lambda t, x: t.slice(x, d, a, b, step), reference)


@op("select")
def _(g):
    s = g.shape(1, 4, False)
    d = g.dim(s)
    i = g.integer(0, s[d] - 1)
    return Case([g.any(s)], lambda t, x: t.select(x, d, i), lambda x: x.select(d, i))


@op("unflatten")
def _(g):
    s = list(g.shape(1, 3, False))
    d = g.dim(s)
    sizes = [g.size(False) for _ in range(g.integer(1, 3))]
    s[d] = int(np.prod(sizes))
    if g.chance(0.4):
        sizes[g.integer(0, len(sizes) - 1)] = -1
    return Case([g.any(tuple(s))], lambda t, x: t.unflatten(x, d, tuple(sizes)), lambda x: x.unflatten(d, sizes))


@op("narrow")
def _(g):
    s = g.shape(1, 4)
    d = g.dim(s)
    a = g.integer(0, s[d])
    n = g.integer(0, s[d] - a)
    a -= s[d] if a < s[d] and g.chance(0.3) else 0
    return Case([g.any(s)], lambda t, x: t.narrow(x, d, a, n), lambda x: x.narrow(d, a, n))


@op("unfold")
def _(g):
    s = g.shape(1, 4, False)
    d = g.dim(s)
    size, step = g.integer(1, s[d]), g.integer(1, 4)
    g.note(dim=d, size=size, step=step)
    return Case([g.any(s)], lambda t, x: t.unfold(x, d, size, step), lambda x: x.unfold(d, size, step))


@op("diagonal")
def _(g):
    s = g.shape(2, 4)
    a, b = (int(k) - (len(s) if g.chance(0.3) else 0) for k in g.rng.choice(len(s), 2, replace=False))
    k = g.integer(-4, 4)
    g.note(offset=k, dims=(a, b))
    return Case([g.any(s)], lambda t, x: t.diagonal(x, k, a, b), lambda x: torch.diagonal(x, k, a, b))


@op("diag")
def _(g):
    s, k = g.shape(1, 2), g.integer(-3, 3)
    g.note(k=k)
    return Case([g.any(s)], lambda t, x: t.diag(x, k), lambda x: torch.diag(x, k))


@op("diag_embed")
def _(g):
    s = g.shape(1, 3)
    a, b = (int(k) - (len(s) + 1 if g.chance(0.3) else 0) for k in g.rng.choice(len(s) + 1, 2, replace=False))
    k = g.integer(-3, 3)
    g.note(offset=k, dims=(a, b))
    return Case([g.any(s)], lambda t, x: t.diag_embed(x, k, a, b), lambda x: torch.diag_embed(x, k, a, b))


def outs(call, n):
    o = Out(n)
    call(o)
    return [o[i] for i in range(n)]


@op("split")
def _(g):
    s = g.shape(1, 4, False)
    d = g.dim(s)
    size = g.integer(1, s[d] + 1)
    n = -(-s[d] // size)
    return Case([g.any(s)], lambda t, x: outs(lambda o: t.split(x, size, d, o, n), n), lambda x: x.split(size, d))


@op("split_sizes")
def _(g):
    s = list(g.shape(1, 3))
    d = g.dim(s)
    sizes = [g.integer(0, 4) for _ in range(g.integer(1, 4))]
    s[d] = sum(sizes)
    n = len(sizes)
    return Case([g.any(tuple(s))], lambda t, x: outs(lambda o: t.split_sizes(x, sizes, n, d, o), n), lambda x: x.split(sizes, d))


@op("chunk")
def _(g):
    s = g.shape(1, 4, False)
    d, n = g.dim(s), g.integer(1, 5)

    def reference(x):  # PyTorch leaves empty chunks out
        parts = list(x.chunk(n, d))
        return parts + [x.narrow(d, s[d], 0)] * (n - len(parts))
    return Case([g.any(s)], lambda t, x: outs(lambda o: t.chunk(x, n, d, o), n), reference)


@op("unbind")
def _(g):
    s = g.shape(1, 4, False)
    d = g.dim(s)
    return Case([g.any(s)], lambda t, x: outs(lambda o: t.unbind(x, d, o, s[d]), s[d]), lambda x: x.unbind(d))


@op("broadcast_tensors")
def _(g):
    n = g.integer(1, 3)
    return Case([g.any(s) for s in g.broadcasts(n)], lambda t, *x: outs(lambda o: t.broadcast_tensors(list(x), n, o), n),
                lambda *x: torch.broadcast_tensors(*x))


@op("meshgrid")
def _(g):
    n, dtype = g.integer(1, 4), g.any_dtype()
    return Case([g.any((g.size(),), dtype) for _ in range(n)], lambda t, *x: outs(lambda o: t.meshgrid(list(x), n, o), n),
                lambda *x: torch.meshgrid(*x, indexing="ij"))


def some(g, s):
    return [int(d) - (len(s) if g.chance(0.3) else 0) for d in g.rng.permutation(len(s))[:g.integer(1, len(s))]]


@op("flip")
def _(g):
    s = g.shape(1, 4)
    d = some(g, s)
    return Case([g.any(s)], lambda t, x: t.flip(x, d, len(d)), lambda x: x.flip(d))


@op("roll")
def _(g):
    s = g.shape(1, 4)
    d = some(g, s)
    k = [g.integer(-9, 9) for _ in d]
    g.note(shifts=k, dims=d)
    return Case([g.any(s)], lambda t, x: t.roll(x, k, d, len(d)), lambda x: x.roll(k, d))


@op("repeat")
def _(g):
    s = g.shape(0, 3)
    r = tuple(g.integer(0 if g.chance(0.1) else 1, 3) for _ in range(len(s) + g.integer(0, 2)))
    g.note(repeats=r)
    return Case([g.any(s)], lambda t, x: t.repeat(x, r), lambda x: x.repeat(r))


@op("repeat_interleave_by")
def _(g):
    s = g.shape(1, 3)
    d = g.dim(s)
    return Case([g.any(s), g.whole((s[d],), 0, 3)], lambda t, x, r: t.repeat_interleave_by(x, r, d),
                lambda x, r: torch.repeat_interleave(x, r, d))


@op("pad")
def _(g):
    mode = g.pick("constant", "reflect", "replicate", "circular")
    if mode == "constant":
        s = g.shape(1, 4)
        n = g.integer(1, len(s))
        pads = [g.integer(-2, 3) for _ in range(2 * n)]
        if any(s[-1 - k] + pads[2 * k] + pads[2 * k + 1] < 0 or min(pads[2 * k:2 * k + 2]) < -s[-1 - k] for k in range(n)):
            raise Refused
        value = float(g.pick(0, 1))
        x = g.any(s)
    else:
        n = g.integer(1, 3)
        s = g.shape(1, 2, False) if n > 3 else (g.size(False), g.size(False)) + tuple(g.integer(1, 6) for _ in range(n))
        most = {"reflect": -1, "replicate": 3, "circular": 0}[mode]
        pads = [g.integer(0, (min(s[-1 - k // 2] + most, 6) if mode != "replicate" else 3)) for k in range(2 * n)]
        value = 0.
        x = g.real(s)
    g.note(mode=mode, pads=pads, value=value)
    return Case([x], lambda t, x: t.pad(x, pads, len(pads), {"mode": g.enum("TERN_PAD_" + mode.upper()), "value": value}),
                lambda x: F.pad(x, pads, mode, value if x.is_floating_point() or mode != "constant" else int(value)))


@op("cat")
def _(g):
    s = list(g.shape(1, 4))
    d, n, dtype = g.dim(s), g.integer(1, 4), g.any_dtype()
    shapes = []
    for _ in range(n):
        s[d] = g.size()
        shapes.append(tuple(s))
    return Case([g.any(k, dtype) for k in shapes], lambda t, *x: t.cat(list(x), n, d), lambda *x: torch.cat(x, d))


@op("stack")
def _(g):
    s, n, dtype = g.shape(), g.integer(1, 4), g.any_dtype()
    d = g.integer(-len(s) - 1, len(s))
    return Case([g.any(s, dtype) for _ in range(n)], lambda t, *x: t.stack(list(x), n, d), lambda *x: torch.stack(x, d))
