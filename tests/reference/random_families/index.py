"""core/index.h. PyTorch leaves open which of equal indices stays where they overwrite; those cases draw none."""
import numpy as np
import torch
import torch.nn.functional as F
from pytorch_random import Case, Refused, left_out, op


def once(g, n, k):
    """k different indices below n."""
    return g.of(g.rng.permutation(n)[:k], g.pick("i64", "i32"), False, expand=False)


def along(g, x, dim, unique):
    """An index of gather's kind into shape x: no larger in the other dimensions; unique along dim if asked."""
    d = dim % len(x)
    s = [g.integer(0 if g.chance(0.05) else min(1, k), k) for k in x]
    if unique:
        s[d] = g.integer(0, x[d])
        v = np.argsort(g.rng.random(tuple(s[:d]) + (x[d],) + tuple(s[d + 1:])), axis=d)
        return g.of(np.take(v, range(s[d]), axis=d), g.pick("i64", "i32"), False, expand=False)
    s[d] = g.integer(0, 2 * x[d])
    return g.whole(s, 0, x[d] - 1)


@op("index_select")
def _(g):
    s = g.shape(1, 4, False)
    dim = g.dim(s)
    return Case([g.any(s), g.index((g.size(),), s[dim])], lambda t, x, i: t.index_select(x, dim, i),
                lambda x, i: torch.index_select(x, dim, i))


def rows(g, unique):
    s = g.shape(1, 4, False)
    dim = g.dim(s)
    d = dim % len(s)
    n = g.integer(0, s[d]) if unique else g.size()
    i = once(g, s[d], n) if unique else g.index((n,), s[d])
    g.note(dim=dim)
    return s, dim, i, s[:d] + (n,) + s[d + 1:]


@op("index_add")
def _(g):
    s, dim, i, src = rows(g, False)
    dtype = g.pick(g.dtype, g.dtype, "i64", "i32")
    return Case([g.any(s, dtype), i, g.any(src, dtype)], lambda t, x, i, y: t.index_add(x, dim, i, y),
                lambda x, i, y: torch.index_add(x, dim, i, y))


@op("index_add_")
def _(g):
    s, dim, i, src = rows(g, False)
    return Case([g.real(s), i, g.real(src)], lambda t, x, i, y: t.index_add_(t.clone(x), dim, i, y),
                lambda x, i, y: x.clone().index_add_(dim, i, y))


@op("index_copy")
def _(g):
    s, dim, i, src = rows(g, True)
    dtype = g.any_dtype()
    return Case([g.any(s, dtype), i, g.any(src, dtype)], lambda t, x, i, y: t.index_copy(x, dim, i, y),
                lambda x, i, y: torch.index_copy(x, dim, i.long(), y))


@op("index_fill")
def _(g):
    s, dim, i, _ = rows(g, False)
    v = float(g.integer(0, 1))
    return Case([g.any(s), i], lambda t, x, i: t.index_fill(x, dim, i, v),
                lambda x, i: torch.index_fill(x, dim, i.long(), v if x.is_floating_point() else int(v)))


@op("gather")
def _(g):
    s = g.shape(1, 4, False)
    dim = g.dim(s)
    return Case([g.any(s), along(g, s, dim, False)], lambda t, x, i: t.gather(x, dim, i),
                lambda x, i: torch.gather(x, dim, i.long()))


def scattered(g, unique):
    s = g.shape(1, 4, False)
    dim = g.dim(s)
    i = along(g, s, dim, unique)
    shape = view_shape(i)
    g.note(dim=dim)
    return s, dim, i, tuple(k + (g.integer(0, 2) if g.chance(0.3) else 0) for k in shape)


def view_shape(i):
    return tuple(i.torch(False)[1].shape)


@op("scatter_add")
def _(g):
    s, dim, i, src = scattered(g, False)
    dtype = g.pick(g.dtype, g.dtype, "i64", "i32")
    return Case([g.any(s, dtype), i, g.any(view_shape(i), dtype)], lambda t, x, i, y: t.scatter_add(x, dim, i, y),
                lambda x, i, y: torch.scatter_add(x, dim, i.long(), y))


@op("scatter")
def _(g):
    s, dim, i, src = scattered(g, True)
    dtype = g.any_dtype()
    return Case([g.any(s, dtype), i, g.any(view_shape(i), dtype)], lambda t, x, i, y: t.scatter(x, dim, i, y),
                lambda x, i, y: torch.scatter(x, dim, i.long(), y))


@op("scatter_value")
def _(g):
    s, dim, i, _ = scattered(g, False)
    return Case([g.any(s), i], lambda t, x, i: t.scatter_value(x, dim, i, 1.),
                lambda x, i: torch.scatter(x, dim, i.long(), 1))


@op("scatter_reduce")
def _(g):
    s, dim, i, _ = scattered(g, False)
    how = g.pick("sum", "prod", "mean", "amax", "amin")
    dtype = g.pick(g.dtype, g.dtype, "i64") if how != "mean" else g.dtype
    exclude = g.chance(0.5)
    g.note(how=how, exclude_self=exclude)
    # products without zeros; extremes without equals, which PyTorch shares among with an x that is left out, too
    make = {"prod": lambda s: g.real(s, 0.5, 2.), "amax": g.distinct, "amin": g.distinct}.get(how, g.real)
    if dtype != g.dtype:
        make = lambda s: g.any(s, dtype)
    src = g.distinct(view_shape(i), -2.7, 3.1) if make == g.distinct else make(view_shape(i))
    return Case([make(s), i, src],
                lambda t, x, i, y: t.scatter_reduce(x, dim, i, y, g.enum("TERN_SCATTER_" + how.upper()), {"exclude_self": exclude}),
                lambda x, i, y: torch.scatter_reduce(x, dim, i.long(), y, how, include_self=not exclude))


@op("one_hot")
def _(g):
    n = g.size(False)
    return Case([g.index(g.shape(0, 3), n)], lambda t, i: t.one_hot(i, n, t.enums["tern_dtype"]["TERN_I64"]),
                lambda i: F.one_hot(i.long(), n))


def several(g, unique=False):
    """A shape and a list of index inputs or None, of which the first carries what the torch side needs."""
    s = g.shape(1, 4, False)
    n = g.integer(1, len(s))
    shapes = g.broadcasts(n, 2, False)
    made, d = [], 0
    while d < n:
        kind = g.pick("none", "index", "index", "bools")
        if kind == "bools" and not any(m is not None for m in made):
            k = g.integer(1, n - d)
            made.append(g.bools(s[d:d + k]))
            made += ["skip"] * (k - 1)
            d += k
            break
        made.append(None if kind == "none" else g.whole(shapes[d], -s[d], s[d] - 1))
        d += 1
    return s, [m for m in made if not isinstance(m, str)]


def take(x, indices):
    return x[tuple(slice(None) if i is None else i if i.dtype == torch.bool else i.long() for i in indices)]


@op("index")
def _(g):
    s, ix = several(g)
    return Case([g.any(s)] + ix, lambda t, x, *i: t.index(x, list(i), len(i)), lambda x, *i: take(x, i))


@op("index_put")
def _(g):
    s, ix = several(g)
    add = g.chance(0.6)
    if not add:  # without accumulate: no equal indices
        d = g.integer(0, len(s) - 1)
        ix = [None] * d + [once(g, s[d], g.integer(0, s[d]))] if g.chance(0.7) else [g.bools(s[:1])]
    shape = tuple(take(torch.zeros(s), [None if i is None else i.torch(False)[1] for i in ix]).shape)
    vs = tuple(1 if g.chance(0.2) else k for k in shape[g.integer(0, len(shape)) if g.chance(0.3) else 0:])
    if all(i is None for i in ix):
        raise Refused
    g.note(accumulate=add)

    def reference(x, v, *i):
        i = [slice(None) if k is None else k if k.dtype == torch.bool else k.long() for k in i]
        if not add:
            y = x.clone()
            y[tuple(i)] = v
            return y
        n = torch.arange(x.numel()).reshape(x.shape)[tuple(i)]
        return x.reshape(-1).index_add(0, n.reshape(-1), v.expand(n.shape).reshape(-1)).reshape(x.shape)
    return Case([g.real(s), g.real(vs)] + ix, lambda t, x, v, *i: t.index_put(x, list(i), len(i), v, add), reference)


@op("take")
def _(g):
    s = g.shape(0, 4, False)
    n = int(np.prod(s))
    return Case([g.any(s), g.index(g.shape(), n)], lambda t, x, i: t.take(x, i), lambda x, i: torch.take(x, i.long()))


@op("put")
def _(g):
    s = g.shape(0, 4, False)
    n, add = int(np.prod(s)), g.chance(0.5)
    i = g.index(g.shape(0, 2), n) if add else once(g, n, g.integer(0, n))
    g.note(accumulate=add)
    return Case([g.real(s), i, g.real(view_shape(i))], lambda t, x, i, v: t.put(x, i, v, add),
                lambda x, i, v: torch.put(x, i.long(), v, accumulate=add))


@op("take_along_dim")
def _(g):
    s = g.shape(1, 4, False)
    dim = g.dim(s)
    d = dim % len(s)
    a = tuple(1 if k != d and g.chance(0.2) else n for k, n in enumerate(s))
    b = tuple(g.size() if k == d else 1 if g.chance(0.2) else n for k, n in enumerate(s))
    g.note(dim=dim)
    return Case([g.any(a), g.index(b, s[d])], lambda t, x, i: t.take_along_dim(x, i, dim),
                lambda x, i: torch.take_along_dim(x, i.long(), dim))


@op("masked_fill")
def _(g):
    s, m = g.broadcasts(2)
    v = float(g.integer(0, 1))
    return Case([g.any(s), g.bools(m)], lambda t, x, m: t.masked_fill(x, m, v), lambda x, m: torch.masked_fill(x, m, v))


@op("masked_select")
def _(g):
    s, m = g.broadcasts(2)
    return Case([g.any(s), g.bools(m)], lambda t, x, m: t.masked_select(x, m), lambda x, m: torch.masked_select(x, m))


@op("masked_scatter")
def _(g):
    s = g.shape()
    m = g.bools(tuple(1 if g.chance(0.2) else k for k in s[g.integer(0, len(s)) if g.chance(0.3) else 0:]))
    n = int(np.prod(s)) + g.integer(0, 3)
    return Case([g.real(s), m, g.real((n,))], lambda t, x, m, v: t.masked_scatter(x, m, v),
                lambda x, m, v: torch.masked_scatter(x, m, v))


@op("nonzero")
def _(g):
    return Case([g.any(g.shape())], lambda t, x: t.nonzero(x), torch.nonzero)


@op("where")
def _(g):
    a, b, c = g.broadcasts(3)
    first = g.any_dtype()
    # a 0-dim tensor takes part in PyTorch's promotion as a number does; Tern has one rule
    return Case([g.bools(a), g.any(b, first), g.any(c, None if b and c else first)], lambda t, m, x, y: t.where(m, x, y), torch.where)


def in_place(name, draw_rows, call):
    @op(name)
    def draw(g):
        s, dim, i, src = draw_rows(g)
        x, y = g.real(s), g.real(src if name.startswith("index") else view_shape(i))
        return Case([x, i, y], lambda t, x, i, y: getattr(t, name)(t.clone(x), dim, i, y),
                    lambda x, i, y: call(x.clone(), dim, i.long(), y))


in_place("index_copy_", lambda g: rows(g, True), torch.Tensor.index_copy_)
in_place("scatter_", lambda g: scattered(g, True), torch.Tensor.scatter_)
in_place("scatter_add_", lambda g: scattered(g, False), torch.Tensor.scatter_add_)


@op("index_fill_")
def _(g):
    s, dim, i, _ = rows(g, False)
    return Case([g.real(s), i], lambda t, x, i: t.index_fill_(t.clone(x), dim, i, 2.),
                lambda x, i: x.clone().index_fill_(dim, i.long(), 2.))


@op("scatter_value_")
def _(g):
    s, dim, i, _ = scattered(g, False)
    return Case([g.real(s), i], lambda t, x, i: t.scatter_value_(t.clone(x), dim, i, 2.),
                lambda x, i: x.clone().scatter_(dim, i.long(), 2.))


@op("masked_fill_")
def _(g):
    s = g.shape()
    m = tuple(1 if g.chance(0.2) else k for k in s[g.integer(0, len(s)) if g.chance(0.3) else 0:])
    return Case([g.real(s), g.bools(m)], lambda t, x, m: t.masked_fill_(t.clone(x), m, 2.),
                lambda x, m: x.clone().masked_fill_(m, 2.))


@op("put_")
def _(g):
    s = g.shape(0, 4, False)
    n, add = int(np.prod(s)), g.chance(0.5)
    i = g.index(g.shape(0, 2), n) if add else once(g, n, g.integer(0, n))
    return Case([g.real(s), i, g.real(view_shape(i))], lambda t, x, i, v: t.put_(t.clone(x), i, v, add),
                lambda x, i, v: torch.put(x, i.long(), v, accumulate=add))


@op("scatter_reduce_")
def _(g):
    s, dim, i, _ = scattered(g, False)
    how = g.pick("sum", "mean")
    return Case([g.real(s), i, g.real(view_shape(i))],
                lambda t, x, i, y: t.scatter_reduce_(t.clone(x), dim, i, y, g.enum("TERN_SCATTER_" + how.upper()), {}),
                lambda x, i, y: torch.scatter_reduce(x, dim, i.long(), y, how))


@op("masked_scatter_")
def _(g):
    s = g.shape()
    return Case([g.real(s), g.bools(s), g.real((int(np.prod(s)),))],
                lambda t, x, m, v: t.masked_scatter_(t.clone(x), m, v), lambda x, m, v: torch.masked_scatter(x, m, v))


left_out("index_put_", "in place what index_put does; the in-place forms share one door, which the others pass")
