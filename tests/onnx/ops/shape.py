"""Operators that rearrange, index, create."""
import numpy as np

from . import dtype_of, op


def target_shape(n, given, allow_zero):
    return [n.shape()[i] if d == 0 and not allow_zero else d for i, d in enumerate(given)]


@op("Reshape")
def reshape(t, n):
    given = n.ints(1, "shape") or []
    return t.reshape(n.x[0], target_shape(n, given, n.attr("allowzero", 0)))


@op("Flatten")
def flatten(t, n):
    s, axis = n.shape(), n.attr("axis", 1)
    axis += len(s) if axis < 0 else 0
    return t.reshape(n.x[0], (int(np.prod(s[:axis], dtype=np.int64)), int(np.prod(s[axis:], dtype=np.int64))))


@op("Squeeze")
def squeeze(t, n):
    s, axes = n.shape(), n.ints(1, "axes")
    axes = [i for i, d in enumerate(s) if d == 1] if axes is None else [a % len(s) for a in axes]
    x = n.x[0]
    for a in sorted(axes, reverse=True):
        x = t.squeeze(x, a)
    return x


@op("Unsqueeze")
def unsqueeze(t, n):
    axes = n.ints(1, "axes")
    ndim, x = n.ndim() + len(axes), n.x[0]
    for a in sorted(a % ndim for a in axes):
        x = t.unsqueeze(x, a)
    return x


@op("Transpose")
def transpose(t, n):
    perm = n.attr("perm") or list(range(n.ndim()))[::-1]
    return t.permute(n.x[0], list(perm), len(perm))


@op("Concat")
def concat(t, n):
    return t.cat(n.x, len(n.x), n.attr("axis", 1))


@op("Split")
def split(t, n):
    axis = n.attr("axis", 0)
    size, sizes = n.shape()[axis], n.ints(1, "split")
    if sizes is None:
        k = n.attr("num_outputs") or n.n_out
        each = -(-size // k)
        sizes = [min(each, size - i * each) for i in range(k)]
    at, out = 0, []
    for s in sizes:
        out.append(t.narrow(n.x[0], axis, at, s))
        at += s
    return out


@op("Slice")
def slice_(t, n):
    s = n.shape()
    starts, ends = n.ints(1, "starts"), n.ints(2, "ends")
    axes = n.ints(3, "axes") or list(range(len(starts)))
    steps = n.ints(4) or [1] * len(starts)
    x = n.x[0]
    for start, end, a, step in zip(starts, ends, axes, steps):
        a %= len(s)
        first, last, step = slice(start, end, step).indices(s[a])
        if step > 0:
            x = t.slice(x, a, first, max(last, first), step)
        else:  # from behind: flip, then forward
            x = t.flip(x, [a], 1)
            first, last = s[a] - 1 - first, s[a] - 1 - last
            x = t.slice(x, a, first, max(last, first), -step)
    return x


@op("Expand")
def expand(t, n):
    shape = np.broadcast_shapes(n.shape(), tuple(n.ints(1)))
    return t.expand(n.x[0], shape)


@op("Tile")
def tile(t, n):
    r = n.ints(1)
    return t.repeat(n.x[0], r)


@op("Pad")
def pad(t, n):
    pads, ndim = n.ints(1, "pads"), n.ndim()
    value = 0.0
    if n.at(2) is not None:
        value = float(np.ravel(n.host(2))[0])
    elif n.attr("value") is not None:
        value = n.attr("value")
    axes = n.ints(3) if n.at(3) is not None else list(range(ndim))
    both = [[0, 0] for _ in range(ndim)]
    for i, a in enumerate(axes):
        both[a % ndim] = [pads[i], pads[i + len(axes)]]
    x = n.x[0]
    for d, (lo, hi) in enumerate(both):  # negative pads crop
        size = t.shape(x)[d]
        if lo < 0 or hi < 0:
            x = t.narrow(x, d, max(-lo, 0), size - max(-lo, 0) - max(-hi, 0))
        both[d] = [max(lo, 0), max(hi, 0)]
    mode = {"constant": "CONSTANT", "reflect": "REFLECT", "edge": "REPLICATE", "wrap": "CIRCULAR"}[n.attr("mode", "constant")]
    mode = t.enums["tern_pad_mode"]["TERN_PAD_" + mode]
    flat = [v for lo_hi in reversed(both) for v in lo_hi]
    return t.pad(x, flat, len(flat), {"mode": mode, "value": value})


@op("Shape")
def shape(t, n):
    s = list(n.shape())
    start, end = n.attr("start", 0), n.attr("end", len(s))
    return np.asarray(s[slice(start, end)], np.int64)


@op("Size")
def size(t, n): return np.asarray(t.numel(n.x[0]), np.int64)


@op("Range")
def range_(t, n):
    first, last, step = (float(np.ravel(n.host(i))[0]) for i in range(3))
    return t.arange_step(first, last, step, {"dtype": t.dtype_of(n.x[0])})


@op("ConstantOfShape")
def constant_of_shape(t, n):
    v = n.tensor_attr("value")
    v = np.zeros(1, np.float32) if v is None else v
    return t.expand(t.reshape(t.tensor(v), ()), n.ints(0))


@op("EyeLike")
def eye_like(t, n):
    dtype = dtype_of(t, n.attr("dtype")) if n.attr("dtype") else t.dtype_of(n.x[0])
    rows, columns = n.shape()
    k = n.attr("k", 0)
    one = t.ones((rows, columns), {"dtype": dtype})
    return t.tril(t.triu(one, k), k)


@op("Trilu")
def trilu(t, n):
    k = int(np.ravel(n.host(1))[0]) if n.at(1) is not None else 0
    return (t.triu if n.attr("upper", 1) else t.tril)(n.x[0], k)


def wrap_index(t, index, size):
    """ONNX's negative indices count from the end; Tern's are refused."""
    if t.dtype_of(index) == t.enums["tern_dtype"]["TERN_I32"]:
        index = t.cast(index, t.enums["tern_dtype"]["TERN_I64"])
    return t.where(t.lt(index, t.zeros_like(index)), t.add_scalar(index, size), index)


@op("Gather")
def gather(t, n):
    axis = n.attr("axis", 0) % n.ndim()
    s, index = n.shape(), n.x[1]
    shape = t.shape(index)
    flat = t.reshape(wrap_index(t, index, s[axis]), (-1,) if t.numel(index) else (0,))
    return t.reshape(t.index_select(n.x[0], axis, flat), s[:axis] + shape + s[axis + 1:])


@op("GatherElements")
def gather_elements(t, n):
    axis = n.attr("axis", 0)
    return t.gather(n.x[0], axis, wrap_index(t, n.x[1], n.shape()[axis]))


@op("ScatterElements", "Scatter")
def scatter_elements(t, n):
    axis, reduction = n.attr("axis", 0), n.attr("reduction", "none")
    index = wrap_index(t, n.x[1], n.shape()[axis])
    if reduction == "none":
        return t.scatter(n.x[0], axis, index, n.x[2])
    if reduction == "add":
        return t.scatter_add(n.x[0], axis, index, n.x[2])
    kind = t.enums["tern_scatter_reduction"]["TERN_SCATTER_" + {"mul": "PROD", "max": "AMAX", "min": "AMIN"}[reduction]]
    return t.scatter_reduce(n.x[0], axis, index, n.x[2], kind, {})


def flat_positions(t, index, s):
    """[..., K] indices into the first K dimensions of shape s -> positions in the flattened first K dimensions."""
    k = t.shape(index)[-1]
    at = None
    for d in range(k):
        i = wrap_index(t, t.select(index, -1, d), s[d])
        at = i if at is None else t.add(t.mul_scalar(at, s[d]), i)
    return at, k


@op("GatherND")
def gather_nd(t, n):
    b, x, index, s = n.attr("batch_dims", 0), n.x[0], n.x[1], n.shape()
    at, k = flat_positions(t, index, s[b:])
    batch = int(np.prod(s[:b], dtype=np.int64))
    inner = int(np.prod(s[b:b + k], dtype=np.int64))
    lead = t.shape(at)
    at = t.reshape(at, (batch, -1))
    offset = t.unsqueeze(t.mul_scalar(t.arange(0, batch, {"dtype": t.enums["tern_dtype"]["TERN_I64"]}), inner), 1)
    flat = t.reshape(t.add(at, offset), (-1,))
    rows = t.reshape(x, (batch * inner,) + s[b + k:])
    return t.reshape(t.index_select(rows, 0, flat), lead + s[b + k:])


@op("ScatterND")
def scatter_nd(t, n):
    x, s, reduction = n.x[0], n.shape(), n.attr("reduction", "none")
    at, k = flat_positions(t, n.x[1], s)
    inner = s[k:]
    rows, flat = int(np.prod(s[:k], dtype=np.int64)), t.reshape(at, (-1,))
    count = t.shape(flat)[0]
    width = int(np.prod(inner, dtype=np.int64))
    source = t.reshape(n.x[2], (count, width))
    index = t.expand(t.unsqueeze(flat, 1), (count, width))
    base = t.reshape(x, (rows, width))
    if reduction == "none":
        y = t.scatter(base, 0, index, source)
    elif reduction == "add":
        y = t.scatter_add(base, 0, index, source)
    else:
        kind = t.enums["tern_scatter_reduction"]["TERN_SCATTER_" + {"mul": "PROD", "max": "AMAX", "min": "AMIN"}[reduction]]
        y = t.scatter_reduce(base, 0, index, source, kind, {})
    return t.reshape(y, s)


@op("TensorScatter")
def tensor_scatter(t, n):
    x, update = n.x[0], n.x[1]
    s, u, axis = n.shape(), n.shape(1), n.attr("axis", -2) % n.ndim()
    i64 = {"dtype": t.enums["tern_dtype"]["TERN_I64"]}
    first = t.zeros((s[0],), i64) if n.at(2) is None else t.cast(n.x[2], i64["dtype"])
    at = t.add(t.unsqueeze(first, 1), t.arange(0, u[axis], i64))  # [N, updates]
    if n.attr("mode", "linear") == "circular":
        at = t.remainder(at, t.full_like(at, s[axis]))
    at = t.reshape(at, (s[0],) + (1,) * (axis - 1) + (u[axis],) + (1,) * (len(s) - axis - 1))
    return t.scatter(x, axis, t.contiguous(t.expand(at, u)), update)


@op("Compress")
def compress(t, n):
    condition = n.host(1)
    axis = n.attr("axis")
    x = n.x[0] if axis is not None else t.reshape(n.x[0], (-1,))
    axis = axis or 0
    size = t.shape(x)[axis]
    c = t.narrow(n.x[1], 0, 0, min(len(condition), size))
    return t.index_select(x, axis, t.reshape(t.nonzero(c), (-1,)))


@op("OneHot")
def one_hot(t, n):
    depth = int(np.ravel(n.host(1))[0])
    axis, s = n.attr("axis", -1), n.shape()
    i64 = t.enums["tern_dtype"]["TERN_I64"]
    index = wrap_index(t, t.cast(n.x[0], i64), depth)
    axis = axis % (len(s) + 1)
    classes = t.reshape(t.arange(0, depth, {"dtype": i64}), (depth,) + (1,) * (len(s) - axis))
    hot = t.eq(t.unsqueeze(index, axis), classes)
    off, on = t.select(n.x[2], 0, 0), t.select(n.x[2], 0, 1)
    return t.where(hot, on, off)


@op("ReverseSequence")
def reverse_sequence(t, n):
    lengths, b, s = n.host(1), n.attr("batch_axis", 1), n.attr("time_axis", 0)
    index = np.tile(np.arange(n.shape()[s]), (n.shape()[b], 1))
    for i, k in enumerate(lengths):
        index[i, :k] = index[i, :k][::-1]
    shape = [1] * n.ndim()
    shape[b], shape[s] = n.shape()[b], n.shape()[s]
    grid = t.tensor((index if b < s else index.T).reshape(shape))
    return t.gather(n.x[0], s, t.contiguous(t.expand(grid, n.shape())))


@op("DepthToSpace")
def depth_to_space(t, n):
    b, x = n.attr("blocksize"), n.x[0]
    N, C, H, W = n.shape()
    if n.attr("mode", "DCR") == "CRD":
        return t.pixel_shuffle(x, b)
    y = t.permute(t.reshape(x, (N, b, b, C // (b * b), H, W)), [0, 3, 4, 1, 5, 2], 6)
    return t.reshape(y, (N, C // (b * b), H * b, W * b))


@op("SpaceToDepth")
def space_to_depth(t, n):
    b, x = n.attr("blocksize"), n.x[0]
    if n.attr("mode", "DCR") == "CRD":
        return t.pixel_unshuffle(x, b)
    N, C, H, W = n.shape()
    y = t.permute(t.reshape(x, (N, C, H // b, b, W // b, b)), [0, 3, 5, 1, 2, 4], 6)
    return t.reshape(y, (N, C * b * b, H // b, W // b))


@op("CenterCropPad")
def center_crop_pad(t, n):
    target, axes, x = n.ints(1), n.attr("axes"), n.x[0]
    axes = list(axes) if axes is not None else list(range(n.ndim()))
    for a, want in zip(axes, target):
        a %= n.ndim()
        size = t.shape(x)[a]
        if want < size:
            x = t.narrow(x, a, (size - want) // 2, want)
        elif want > size:
            lo = (want - size) // 2
            flat = [0, 0] * (n.ndim() - 1 - a) + [lo, want - size - lo]
            x = t.pad(x, flat, len(flat), {})
    return x


@op("Hardmax")
def hardmax(t, n):
    axis = n.attr("axis", -1 if n.opset >= 13 else 1)
    best = t.argmax(n.x[0], axis, True)
    return t.scatter(t.zeros_like(n.x[0]), axis, best, t.cast(t.ones_like(best), t.dtype_of(n.x[0])))


