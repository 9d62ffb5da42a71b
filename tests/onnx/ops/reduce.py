"""Reductions, scans, sorting."""
import numpy as np

from . import Excluded, is_float, op


def axes_of(n, at=1):
    axes = n.ints(at, "axes") if n.at(at) is not None else n.ints(99, "axes")
    return axes


def reduce_by(f):
    """f(t, x, dims, n, keepdim); ONNX's rules for absent and empty axes."""
    def run(t, n):
        x, axes, keep = n.x[0], axes_of(n), bool(n.attr("keepdims", 1))
        if not axes:
            if n.attr("noop_with_empty_axes", 0):
                return element(t, n, x)
            axes = list(range(t.ndim(x)))
        if not axes:
            return element(t, n, x)
        return f(t, x, axes)(keep)
    return run


def element(t, n, x):
    """The reduction of single elements: no axis is reduced."""
    name = n.type
    if name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSumExp"):
        return x
    if name == "ReduceLogSum":
        return t.log(x)
    if name == "ReduceSumSquare":
        return t.square(x)
    return t.abs(x)


def same_dtype(t, x, y):
    """Tern sums i32 in i64; ONNX keeps the dtype."""
    return y if t.dtype_of(x) == t.dtype_of(y) else t.cast(y, t.dtype_of(x))


def reduction(name):
    def register(g):
        op(name)(reduce_by(lambda t, x, axes: lambda keep: same_dtype(t, x, g(t, x, axes, len(axes), keep))))
        return g
    return register


@reduction("ReduceSum")
def r_sum(t, x, d, n, k): return t.sum(x, d, n, k)


@reduction("ReduceMean")
def r_mean(t, x, d, n, k): return t.mean(x, d, n, k)


@reduction("ReduceProd")
def r_prod(t, x, d, n, k): return t.prod(x, d, n, k)


@reduction("ReduceL1")
def r_l1(t, x, d, n, k): return t.sum(t.abs(x), d, n, k)


@reduction("ReduceL2")
def r_l2(t, x, d, n, k):
    f = x if is_float(t, x) else t.cast(x, t.enums["tern_dtype"]["TERN_F64"])
    return t.norm(f, 2.0, d, n, k)


@reduction("ReduceLogSum")
def r_log_sum(t, x, d, n, k): return t.log(t.sum(x, d, n, k))


@reduction("ReduceLogSumExp")
def r_log_sum_exp(t, x, d, n, k): return t.logsumexp(x, d, n, k)


@reduction("ReduceSumSquare")
def r_sum_square(t, x, d, n, k): return t.sum(t.square(x), d, n, k)


def extreme(t, x, d, n, k, largest):
    if 0 in [t.shape(x)[a] for a in d]:
        # ONNX gives the dtype's end over nothing; Tern refuses.
        raise Excluded("the largest or smallest of no elements is an error in Tern, as in NumPy and PyTorch")
    bool_ = t.enums["tern_dtype"]["TERN_BOOL"]
    if t.dtype_of(x) == bool_:
        return (t.any if largest else t.all)(x, d, n, k)
    return (t.max if largest else t.min)(x, d, n, k)


@reduction("ReduceMax")
def r_max(t, x, d, n, k): return extreme(t, x, d, n, k, True)


@reduction("ReduceMin")
def r_min(t, x, d, n, k): return extreme(t, x, d, n, k, False)


@op("ArgMax", "ArgMin")
def arg(t, n):
    x, axis, keep = n.x[0], n.attr("axis", 0), bool(n.attr("keepdims", 1))
    f = t.argmax if n.type == "ArgMax" else t.argmin
    if not n.attr("select_last_index", 0):
        return f(x, axis, keep)
    # The last of equals is the first from behind.
    y = f(t.flip(x, [axis], 1), axis, keep)
    return t.rsub_scalar(y, t.shape(x)[axis] - 1)


def reversed_exclusive(t, n, scan):
    """A scan along an axis: from behind with `reverse`, without the element itself with `exclusive`."""
    x, axis = n.x[0], int(np.ravel(n.host(1))[0])
    reverse, exclusive = n.attr("reverse", 0), n.attr("exclusive", 0)
    if reverse:
        x = t.flip(x, [axis], 1)
    if exclusive:
        size = t.shape(x)[axis]
        one = t.narrow(x, axis, 0, 1)
        first = t.zeros_like(one) if scan == "cumsum" else t.ones_like(one)
        x = t.cat([first, t.narrow(x, axis, 0, size - 1)], 2, axis)
    y = same_dtype(t, x, getattr(t, scan)(x, axis))
    return t.flip(y, [axis], 1) if reverse else y


@op("CumSum")
def cumsum(t, n): return reversed_exclusive(t, n, "cumsum")


@op("CumProd")
def cumprod(t, n): return reversed_exclusive(t, n, "cumprod")


@op("TopK")
def topk(t, n):
    from api import Out
    k, axis = int(np.ravel(n.host(1))[0]), n.attr("axis", -1)
    index = Out()
    y = t.topk(n.x[0], k, axis, not n.attr("largest", 1), index)
    return [y, index[0]]


@op("Unique")
def unique(t, n):
    if n.attr("axis") is not None:
        raise Excluded("Unique of slices along an axis: Tern's unique is of elements")
    from api import Out
    inverse, counts = Out(), Out()
    y = t.unique(n.x[0], inverse, counts)
    # First appearance: the smallest position among those with the same inverse.
    inv = t.flatten(inverse[0], 0, -1)
    m = t.shape(y)[0]
    i64 = t.enums["tern_dtype"]["TERN_I64"]
    first = t.argmax(t.cast(t.eq(t.unsqueeze(inv, 0), t.unsqueeze(t.arange(0, m, {"dtype": i64}), 1)), i64), 1, False)
    if n.attr("sorted", 1):
        return [y, first, inv, counts[0]]
    order = t.argsort(first, 0, False)  # by appearance
    place = t.argsort(order, 0, False)
    y, first, counts = (t.index_select(v, 0, order) for v in (y, first, counts[0]))
    return [y, first, t.index_select(place, 0, inv), counts]


@op("NonZero")
def nonzero(t, n): return t.transpose(t.nonzero(n.x[0]), 0, 1)
