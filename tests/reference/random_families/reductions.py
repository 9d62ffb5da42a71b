"""core/reduce.h."""
import numpy as np
import torch
from api import Out
from pytorch_random import Case, Refused, op

MODES = ("linear", "lower", "higher", "midpoint", "nearest")


def dims(g, s, some=True):
    """Tern's dimensions (none: all) and PyTorch's."""
    d = [int(k) - (len(s) if g.chance(0.3) else 0) for k in g.rng.permutation(len(s))[:g.integer(1, max(len(s), 1))]]
    if not s or (some and g.chance(0.2)):
        d = []
    return d, d or list(range(len(s)))


def over(name, reference, make=None, lo=0, empty=True, args=lambda g: (), loosen=1.):
    """reference(x, dims, keepdim, *args)."""
    @op(name)
    def draw(g):
        s = g.shape(lo, 4, empty) if g.chance(0.8) else (g.integer(1, 5), g.integer(50, 300))
        d, all_d = dims(g, s)
        keep, a = g.chance(0.5), args(g)
        g.note(dims=d, keepdim=keep, args=a)
        x = (make or (lambda g, s: g.any(s, special=True)))(g, s)
        return Case([x], lambda t, x: getattr(t, name)(x, *a[:1], d, len(d), *a[1:], keep) if name == "norm" else
                    getattr(t, name.split("__")[0])(x, d, len(d), *a, keep), lambda x: reference(x, all_d, keep, *a), loosen=loosen)


def real(g, s):
    return g.real(s, special=True)


def plain(g, s):
    return g.real(s)


def each(f):
    """A reduction over one dimension, over several."""
    def reduce(x, ds, keep):
        for d in sorted((d % x.dim() for d in ds), reverse=True):
            x = f(x, d, keep)
        return x
    return reduce


over("sum", lambda x, d, k: torch.sum(x, d, k) if x.dim() else x.sum())
over("mean", lambda x, d, k: torch.mean(x, d, k) if x.dim() else x.mean(), real)
over("nansum", lambda x, d, k: torch.nansum(x, d, k), real, 1)
over("nanmean", lambda x, d, k: torch.nanmean(x, d, k), real, 1)
over("max", lambda x, d, k: torch.amax(x, d, k), lambda g, s: g.any(s), 1, False)
over("min", lambda x, d, k: torch.amin(x, d, k), lambda g, s: g.any(s), 1, False)
over("prod", each(lambda x, d, k: torch.prod(x, d, k)), lambda g, s: g.real(s, -1.4, 1.4) if np.prod(s) < 200 else g.real(s, 0.9, 1.1),
     1, loosen=8.)
over("any", lambda x, d, k: torch.any(x != 0, d, k), lo=1)
over("all", lambda x, d, k: torch.all(x != 0, d, k), lo=1)
over("count_nonzero", lambda x, d, k: (x != 0).sum(d, k), lo=1)
over("norm", lambda x, d, k, p: torch.linalg.vector_norm(x, p, d, k), lambda g, s: g.real(s, ties=False, expand=False), 1, False,
     lambda g: (g.pick(0., 1., 2., 3., 0.5, float("inf"), float("-inf")),), 4.)
over("var", lambda x, d, k, c: torch.var(x, d, correction=c, keepdim=k), plain, 1, True, lambda g: (0.,), 2.)
# a correction as large as the count divides by zero, whose gradients differ in form (NaN, infinity)
over("var__corrected", lambda x, d, k, c: torch.var(x, d, correction=c, keepdim=k),
     lambda g, s: g.real(tuple(max(k, 4) for k in s), ties=False, expand=False), 1, False, lambda g: (g.pick(1., 2.),), 2.)
over("std", lambda x, d, k, c: torch.std(x, d, correction=c, keepdim=k), lambda g, s: g.real(s, ties=False, expand=False), 1, False,
     lambda g: (0.,), 8.)
over("logsumexp", lambda x, d, k: torch.logsumexp(x, d, k), plain, 1)


@op("sum_to")
def _(g):
    s = g.shape()
    to = tuple(1 if g.chance(0.3) else k for k in s[g.integer(0, len(s)) if g.chance(0.3) else 0:])
    g.note(to=to)
    # of integers PyTorch sums in i64, or keeps the dtype where nothing is summed, depending on the shape
    return Case([g.real(s)], lambda t, x: t.sum_to(x, to), lambda x: x.sum_to_size(to))


def at_extreme(name, reference):
    @op(name)
    def draw(g):
        s = g.shape(1, 4, False)
        d, keep = g.dim(s), g.chance(0.5)
        g.note(dim=d, keepdim=keep)
        dtype = g.pick(g.dtype, g.dtype, "i64", "u8")
        return Case([g.any(s, dtype, special=True)], lambda t, x: getattr(t, name)(x, d, keep), lambda x: reference(x, d, keep))


at_extreme("argmax", torch.argmax)
at_extreme("argmin", torch.argmin)


def pair(name, reference, args=lambda g, n: (), before=False, keep=True, make=None, special=True):
    """Values and indices along a dimension: name(x, [args], dim, [keepdim], indices)."""
    @op(name)
    def draw(g):
        s = g.shape(1, 4, False) if g.chance(0.8) else (g.integer(1, 4), g.integer(30, 400))
        d = g.dim(s)
        a = args(g, s[d])
        k = (g.chance(0.5),) if keep else ()
        g.note(dim=d, args=a, keepdim=k)
        x = make(g, s) if make else g.any(s, g.pick(g.dtype, g.dtype, "i64", "u8"), special=special)

        def tern(t, x):
            o = Out()
            y = getattr(t, name)(x, *a, d, *k, o) if before else getattr(t, name)(x, d, *k, *a, o)
            return [y, o[0]]
        return Case([x], tern, lambda x: list(reference(x, d, *k, *a)))


pair("max_dim", lambda x, d, k: torch.max(x, d, k))
pair("min_dim", lambda x, d, k: torch.min(x, d, k))
pair("cummax", lambda x, d: torch.cummax(x, d), keep=False)
pair("cummin", lambda x, d: torch.cummin(x, d), keep=False)
pair("sort", lambda x, d, r: torch.sort(x, stable=True, dim=d, descending=r), lambda g, n: (g.chance(0.5),), keep=False)
pair("kthvalue", lambda x, d, keep, k: torch.kthvalue(x, k, d, keep), lambda g, n: (g.integer(1, n),), True, make=lambda g, s: g.distinct(s))
pair("median", lambda x, d, k: torch.median(x, d, k), make=lambda g, s: g.distinct(s))


@op("topk")
def _(g):
    s = g.shape(1, 4, False) if g.chance(0.8) else (g.integer(1, 4), g.integer(30, 400))
    d, small = g.dim(s), g.chance(0.5)
    k = g.integer(0, s[d])
    g.note(dim=d, k=k, smallest=small)

    def tern(t, x):
        o = Out()
        return [t.topk(x, k, d, small, o), o[0]]

    def reference(x):  # Tern's order among equals is the stable one
        v, i = torch.sort(x, stable=True, dim=d, descending=not small)
        return [v.narrow(d, 0, k), i.narrow(d, 0, k)]
    return Case([g.any(s, g.pick(g.dtype, g.dtype, "i64", "u8"), special=True)], tern, reference)


@op("argsort")
def _(g):
    s = g.shape(1, 4)
    d, r = g.dim(s), g.chance(0.5)
    return Case([g.any(s, special=True)], lambda t, x: t.argsort(x, d, r),
                lambda x: torch.argsort(x, stable=True, dim=d, descending=r))


def scan(name, reference, make, loosen):
    @op(name)
    def draw(g):
        s = g.shape(1, 4) if g.chance(0.8) else (g.integer(1, 4), g.integer(30, 300))
        d = g.dim(s)
        return Case([make(g, s)], lambda t, x: getattr(t, name)(x, d), lambda x: reference(x, d), loosen=loosen)


scan("cumsum", torch.cumsum, lambda g, s: g.any(s), 4.)
scan("cumprod", torch.cumprod, lambda g, s: g.real(s, -1.4, 1.4) if max(s, default=0) < 30 else g.real(s, 0.95, 1.05), 16.)


@op("cov")
def _(g):
    s, c = (g.shape(1, 1, False) if g.chance(0.2) else (g.size(False), g.integer(3, 9))), g.pick(0., 1.)
    if s[-1] < 3:
        s = s[:-1] + (4,)
    return Case([g.real(s)], lambda t, x: t.cov(x, c), lambda x: torch.cov(x, correction=int(c)), loosen=4.)


@op("corrcoef")
def _(g):
    return Case([g.real((g.size(False), g.integer(4, 9)), ties=False, expand=False)], lambda t, x: t.corrcoef(x), torch.corrcoef,
                loosen=16.)


@op("unique")
def _(g):
    x = g.any(g.shape(), g.pick("i64", "i32", "u8", "bool")) if g.chance(0.5) else g.of(g.rng.integers(-3, 4, g.shape()) / 2, grad=False)

    def tern(t, x):
        a, b = Out(), Out()
        return [t.unique(x, a, b), a[0], b[0]]
    return Case([x], tern, lambda x: list(torch.unique(x, return_inverse=True, return_counts=True)))


@op("unique_consecutive")
def _(g):
    x = g.any(g.shape(1), g.pick("i64", "i32", "u8", "bool")) if g.chance(0.5) else g.of(g.rng.integers(-1, 2, g.shape(1)) / 2, grad=False)

    def tern(t, x):
        a, b = Out(), Out()
        return [t.unique_consecutive(x, a, b), a[0], b[0]]
    return Case([x], tern, lambda x: list(torch.unique_consecutive(x, return_inverse=True, return_counts=True)))


def quantile_of(g):
    s = g.shape(1, 4, False)
    d, keep, mode = g.dim(s), g.chance(0.5), g.integer(0, 4)
    g.note(dim=d, keepdim=keep, mode=MODES[mode])
    return s, d, keep, mode


@op("quantile")
def _(g):
    s, d, keep, mode = quantile_of(g)
    q = g.pick(0., 0.3, 0.5, 0.77, 1.)
    g.note(q=q)
    return Case([g.distinct(s)], lambda t, x: t.quantile(x, q, d, keep, mode),
                lambda x: torch.quantile(x, q, d, keep, interpolation=MODES[mode]))


@op("quantiles")
def _(g):
    s, d, keep, mode = quantile_of(g)
    q = [g.pick(0., 0.3, 0.5, 0.77, 1.) for _ in range(g.integer(1, 4))]
    g.note(q=q)
    return Case([g.distinct(s)], lambda t, x: t.quantiles(x, q, len(q), d, keep, mode),
                lambda x: torch.quantile(x, torch.tensor(q, dtype=x.dtype), d, keep, interpolation=MODES[mode]))


@op("searchsorted")
def _(g):
    lead, n, right = g.shape(0, 2, False), g.size(), g.chance(0.5)
    flat = g.chance(0.4)
    v = np.sort(g.rng.integers(-6, 7, (() if flat else lead) + (n,)) / 2, axis=-1)
    return Case([g.of(v, grad=False, expand=False), g.of(g.rng.integers(-7, 8, lead + (g.size(),)) / 2, grad=False)],
                lambda t, s, x: t.searchsorted(s, x, right), lambda s, x: torch.searchsorted(s.contiguous(), x.contiguous(), right=right))


@op("bucketize")
def _(g):
    right = g.chance(0.5)
    v = np.sort(g.rng.integers(-6, 7, g.size()) / 2)
    return Case([g.of(g.rng.integers(-7, 8, g.shape()) / 2, grad=False), g.of(v, grad=False, expand=False)],
                lambda t, x, b: t.bucketize(x, b, right), lambda x, b: torch.bucketize(x, b, right=right))


@op("bincount")
def _(g):
    n, least = g.size(), g.integer(0, 8)
    x = g.whole((n,), 0, 9, g.pick("i64", "i32", "u8"))
    w = g.maybe(lambda: g.real((n,), grad=False, dtype=g.pick("f64", "f32")))
    return Case([x, w], lambda t, x, w: t.bincount(x, w, least), lambda x, w: torch.bincount(x, w, least), dtype=w is None)


@op("histogram", ("f64", "f32"))
def _(g):
    e = np.cumsum(g.rng.uniform(0.2, 1., g.integer(2, 7))) - 2
    s = g.shape()
    w = g.maybe(lambda: g.real(s, grad=False))
    return Case([g.real(s, grad=False), g.of(e, grad=False, expand=False), w], lambda t, x, e, w: t.histogram(x, e, w),
                lambda x, e, w: torch.histogram(x.contiguous(), e.contiguous(), weight=None if w is None else w.contiguous()).hist,
                dtype=False)


@op("histc", ("f64", "f32"))
def _(g):
    n = g.integer(1, 8)
    return Case([g.real(g.shape(), grad=False, ties=False)], lambda t, x: t.histc(x, n, -2.5, 2.), lambda x: torch.histc(x, n, -2.5, 2.),
                dtype=False)


def holes(g, s):
    """Numbers, all different, some of them NaN."""
    x = g.distinct(s)
    x.base = np.where(g.rng.random(x.base.shape) < 0.25, np.nan, x.base)
    return x


def repeated(g, s):
    return g.of(g.rng.integers(-2, 3, s) / 2) if g.chance(0.6) else g.any(s, g.pick("i64", "i32", "u8"))


def value_alone(name, make):
    """Which of equal values (or of nothing but NaN) the index names, and the gradient goes to, is open in PyTorch."""
    @op(name)
    def draw(g):
        s = g.shape(1, 4, False)
        d, keep = g.dim(s), g.chance(0.5)
        return Case([make(g, s)], lambda t, x: getattr(t, name)(x, d, keep, None),
                    lambda x: getattr(torch, name)(x, d, keep)[0], grad=False)


value_alone("nanmedian", holes)
value_alone("mode", repeated)


@op("nanquantile")
def _(g):
    s, d, keep, mode = quantile_of(g)
    q = g.pick(0., 0.3, 0.5, 0.77, 1.)
    g.note(q=q)
    return Case([holes(g, s)], lambda t, x: t.nanquantile(x, q, d, keep, mode),
                lambda x: torch.nanquantile(x, q, d, keep, interpolation=MODES[mode]), grad=False)


@op("nanquantiles")
def _(g):
    s, d, keep, mode = quantile_of(g)
    q = [g.pick(0., 0.3, 0.5, 0.77, 1.) for _ in range(g.integer(1, 4))]
    g.note(q=q)
    return Case([holes(g, s)], lambda t, x: t.nanquantiles(x, q, len(q), d, keep, mode),
                lambda x: torch.nanquantile(x, torch.tensor(q, dtype=x.dtype), d, keep, interpolation=MODES[mode]), grad=False)


@op("isin")
def _(g):
    dtype = g.pick(g.dtype, "i64", "i32", "u8")
    v = [g.of(g.rng.integers(0, 7, s) / (2 if dtype == g.dtype else 1), dtype, False) for s in (g.shape(1), g.shape(1, 2))]
    return Case(v, lambda t, x, y: t.isin(x, y), torch.isin)
