"""core/conv.h."""
import torch
import torch.nn.functional as F
from api import Out
from pytorch_random import Case, Refused, op


def axes_opts(g, names):
    """Values of an axis each; Tern's -1 for an explicit zero beyond the first axis."""
    def some(n, lo, hi):
        v = [g.integer(lo, hi) for _ in range(n)]
        return v, (v[0] if n == 1 else [v[0]] + [k if k else -1 for k in v[1:]])
    return some


def conv(axes, name, transposed):
    @op(name)
    def draw(g):
        some = axes_opts(g, axes)
        groups = g.pick(1, 1, 2, 3)
        i, o = groups * g.integer(1, 3), groups * g.integer(1, 3)
        k, stride, dilation = some(axes, 1, 3)[0], some(axes, 1, 3), some(axes, 1, 2)
        pad, extra = some(axes, 0, 2), [0] * axes
        same = not transposed and g.chance(0.2)
        if same:
            stride, pad = ([1] * axes, 1 if axes == 1 else [1] * axes), ([0] * axes, 0 if axes == 1 else [0] * axes)
        if transposed:
            extra = [g.integer(0, max(s, d) - 1) for s, d in zip(stride[0], dilation[0])]
        size = [g.integer(1, 8) for _ in range(axes)]
        for a in range(axes):
            if not transposed:
                size[a] = max(size[a], dilation[0][a] * (k[a] - 1) + 1 - 2 * pad[0][a], 1)
            elif (size[a] - 1) * stride[0][a] - 2 * pad[0][a] + dilation[0][a] * (k[a] - 1) + extra[a] + 1 < 1:
                raise Refused
        x = ((g.size(),) if g.chance(0.8) else ()) + (i,) + tuple(size)
        w = ((i, o // groups) if transposed else (o, i // groups)) + tuple(k)
        opts = {"stride": stride[1], "dilation": dilation[1], "groups": groups}
        theirs = {"stride": stride[0], "dilation": dilation[0], "groups": groups}
        if same:
            opts["same"], theirs["padding"] = True, "same"
        else:
            opts["pad"], theirs["padding"] = pad[1], pad[0]
        if transposed:
            opts["output_pad"] = extra[0] if axes == 1 else [extra[0]] + [e if e else -1 for e in extra[1:]]
            theirs["output_padding"] = extra
        g.note(**theirs)
        return Case([g.real(x), g.real(w), g.maybe(lambda: g.real((o,)))], lambda t, *a: getattr(t, name)(*a, opts),
                    lambda *a: getattr(F, name)(*a, **theirs), loosen=2.)


for n in (1, 2, 3):
    conv(n, f"conv{n}d", False)
    conv(n, f"conv_transpose{n}d", True)


def pool(axes, name, kind):
    @op(name)
    def draw(g):
        some = axes_opts(g, axes)
        k = [g.integer(1, 4) for _ in range(axes)]
        pad = [g.integer(0, n // 2) for n in k] if kind != "lp" else [0] * axes
        dilation = [g.integer(1, 2) for _ in k] if kind.startswith("max") else [1] * axes
        stride = [g.integer(1, 3) for _ in k] if g.chance(0.6) else None
        ceil = g.chance(0.4)
        size = [max(g.integer(1, 9), d * (n - 1) + 1 - 2 * p) for n, d, p in zip(k, dilation, pad)]
        if name == "avg_pool3d":
            size = [max(a, b) for a, b in zip(size, k)]  # PyTorch does not count the padding here
        for n, d, p, s, step in zip(k, dilation, pad, size, stride or k):
            # a window without an element: Tern refuses, PyTorch gives -infinity and an index that is none
            starts = range(-p, s + p, step)
            if kind.startswith("max") and any(all(not 0 <= b + i * d < s for i in range(n)) for b in starts):
                raise Refused
        x = ((g.size(False),) if g.chance(0.8) else ()) + (g.size(False),) + tuple(size)
        opts = {"ceil_mode": ceil}
        if stride:
            opts["stride"] = stride if axes > 1 else stride[0]
        if kind != "lp":
            opts["pad"] = pad[0] if axes == 1 else [pad[0]] + [p if p else -1 for p in pad[1:]]
        if kind.startswith("max"):
            opts["dilation"] = dilation if axes > 1 else dilation[0]
        kernel = k if axes > 1 else k[0]
        g.note(kernel=k, **opts)
        if kind == "max":
            return Case([g.real(x, special=True)], lambda t, x: getattr(t, name)(x, kernel, opts),
                        lambda x: getattr(F, name)(x, k, stride, pad, dilation, ceil))
        if kind == "max_indices":
            def both(t, x):
                o = Out()
                return [getattr(t, name)(x, kernel, opts, o), o[0]]
            return Case([g.real(x)], both,
                        lambda x: getattr(F, f"max_pool{axes}d")(x, k, stride, pad, dilation, ceil, return_indices=True))
        if kind == "avg":
            exclude, divisor = g.chance(0.4), g.pick(0, 0, 3) if axes > 1 else 0
            opts["exclude_pad"], opts["divisor"] = exclude, divisor
            more = (divisor or None,) if axes > 1 else ()
            return Case([g.real(x)], lambda t, x: getattr(t, name)(x, kernel, opts),
                        lambda x: getattr(F, name)(x, k, stride, pad, ceil, not exclude, *more))
        p = g.pick(1., 2., 3., 1.5)
        g.note(p=p)
        return Case([g.real(x, 0.2, 2.)], lambda t, x: getattr(t, name)(x, p, kernel, opts),
                    lambda x: getattr(F, name)(x, p, kernel, opts.get("stride"), ceil))


for n in (1, 2, 3):
    pool(n, f"max_pool{n}d", "max")
    pool(n, f"max_pool{n}d_with_indices", "max_indices")
    pool(n, f"avg_pool{n}d", "avg")
    pool(n, f"lp_pool{n}d", "lp")


def adaptive(axes, name, largest):
    @op(name)
    def draw(g):
        x = ((g.size(False),) if g.chance(0.8) else ()) + (g.size(False),) + tuple(g.integer(1, 9) for _ in range(axes))
        size = [g.integer(1, 7) for _ in range(axes)]
        to = size if axes > 1 else size[0]
        g.note(size=size)
        if not largest:
            return Case([g.real(x)], lambda t, x: getattr(t, name)(x, to), lambda x: getattr(F, name)(x, size))

        def both(t, x):
            o = Out()
            return [getattr(t, name)(x, to, o), o[0]]
        return Case([g.real(x)], both, lambda x: getattr(F, name)(x, size, return_indices=True))


for n in (1, 2, 3):
    adaptive(n, f"adaptive_avg_pool{n}d", False)
    adaptive(n, f"adaptive_max_pool{n}d", True)


def unpool(axes, name):
    @op(name)
    def draw(g):
        lead = ((g.size(False),) if g.chance(0.8) else ()) + (g.size(False),)
        size = [g.integer(1, 4) for _ in range(axes)]
        to = [k * 2 + g.integer(0, 1) for k in size]
        n, plane = 1, 1
        for a, b in zip(size, to):
            n, plane = n * a, plane * b
        index = g.rng.permuted(g.rng.permutation(plane)[None].repeat(int(torch.tensor(lead).prod()), 0), axis=1)[:, :n]
        index = g.of(index.reshape(lead + tuple(size)), "i64", False, expand=False)
        g.note(size=to)
        return Case([g.real(lead + tuple(size)), index], lambda t, x, i: getattr(t, name)(x, i, to if axes > 1 else to[0]),
                    lambda x, i: getattr(F, name)(x, i, 2, 2, output_size=to))


for n in (1, 2, 3):
    unpool(n, f"max_unpool{n}d")


def folding(g):
    k, stride, dilation, pad = ([g.integer(1, 3) for _ in range(2)], [g.integer(1, 2) for _ in range(2)],
                                [g.integer(1, 2) for _ in range(2)], [g.integer(0, 2) for _ in range(2)])
    size = [max(g.integer(1, 7), d * (n - 1) + 1 - 2 * p, 1) for n, d, p in zip(k, dilation, pad)]
    lead = (g.size(False),) if g.chance(0.8) else ()
    ours = {"stride": stride, "dilation": dilation, "pad": [pad[0], pad[1] if pad[1] else -1]}
    theirs = {"stride": stride, "dilation": dilation, "padding": pad}
    g.note(kernel=k, size=size, **theirs)
    return k, size, lead, ours, theirs


@op("im2col")
def _(g):
    k, size, lead, ours, theirs = folding(g)
    return Case([g.real(lead + (g.size(False),) + tuple(size))], lambda t, x: t.im2col(x, k, ours),
                lambda x: F.unfold(x, k, **theirs))


@op("col2im")
def _(g):
    k, size, lead, ours, theirs = folding(g)
    n = 1
    for a in range(2):
        n *= (size[a] + 2 * theirs["padding"][a] - theirs["dilation"][a] * (k[a] - 1) - 1) // theirs["stride"][a] + 1
    return Case([g.real(lead + (g.integer(1, 3) * k[0] * k[1], n))], lambda t, x: t.col2im(x, size, k, ours),
                lambda x: F.fold(x, size, k, **theirs))
