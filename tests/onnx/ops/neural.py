"""Convolution, pooling, normalisation, recurrence, attention, resampling, products."""
import numpy as np

from . import Excluded, is_float, op


def spatial(n): return n.ndim() - 2


def pads_of(n, kernel, strides, dilations):
    """[(before, after)] a spatial dimension."""
    k, auto = len(kernel), n.attr("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        p = n.attr("pads") or [0] * (2 * k)
        return list(zip(p[:k], p[k:]))
    if auto == "VALID":
        return [(0, 0)] * k
    out = []
    for size, w, s, d in zip(n.shape()[2:], kernel, strides, dilations):
        total = max((-(-size // s) - 1) * s + d * (w - 1) + 1 - size, 0)
        small = total // 2
        out.append((small, total - small) if auto == "SAME_UPPER" else (total - small, small))
    return out


def explicit(v):
    """Tern's option structs take 0 as the default: an explicit 0 is -1 (in the dimensions after the first)."""
    return [v[0]] + [x if x else -1 for x in v[1:]]


def pad_input(t, x, pads, value):
    flat = [v for lo_hi in reversed(pads) for v in lo_hi]
    return t.pad(x, flat, len(flat), {"value": value})


def axes(t, name, k):
    """tern_NAMEkd; in one dimension it takes numbers where the others take lists of k."""
    f = getattr(t, name.replace("#", f"{k}d"))
    if k > 1:
        return f

    def one(v):
        if isinstance(v, dict):
            return {key: one(x) for key, x in v.items()}
        return v[0] if isinstance(v, list) and len(v) == 1 else v
    return lambda *args: f(*[one(a) for a in args])


@op("Conv")
def conv(t, n): return convolution(t, n, n.x[0], n.x[1], n.at(2))


def convolution(t, n, x, w, b):
    """The node's convolution, of x (like its first input), w and b."""
    k = spatial(n)
    kernel = list(n.attr("kernel_shape") or t.shape(w)[2:])
    strides, dilations = list(n.attr("strides") or [1] * k), list(n.attr("dilations") or [1] * k)
    pads = pads_of(n, kernel, strides, dilations)
    if any(a != b for a, b in pads):
        x, pads = pad_input(t, x, pads, 0.0), [(0, 0)] * k
    opts = {"stride": strides, "dilation": dilations, "groups": n.attr("group", 1), "pad": explicit([a for a, _ in pads])}
    return axes(t, "conv#", k)(x, w, b, opts)


@op("ConvTranspose")
def conv_transpose(t, n):
    k = spatial(n)
    kernel = list(n.attr("kernel_shape") or n.shape(1)[2:])
    strides, dilations = list(n.attr("strides") or [1] * k), list(n.attr("dilations") or [1] * k)
    extra = list(n.attr("output_padding") or [0] * k)
    shape, auto = n.attr("output_shape"), n.attr("auto_pad", "NOTSET")
    full = [(size - 1) * s + (w - 1) * d + 1 + e
            for size, s, w, d, e in zip(n.shape()[2:], strides, kernel, dilations, extra)]
    if shape or auto.startswith("SAME"):
        want = list(shape)[-k:] if shape else [size * s for size, s in zip(n.shape()[2:], strides)]
        pads = []
        for f, w in zip(full, want):
            total = f - w
            half = total // 2
            pads.append((half, total - half) if auto != "SAME_LOWER" and (shape is None or auto == "SAME_UPPER")
                        else (total - half, half))
    else:
        p = n.attr("pads") or [0] * (2 * k)
        pads = list(zip(p[:k], p[k:]))
    # Without padding, then cut: covers uneven and negative pads.
    if any(a != b or a < 0 for a, b in pads) or any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations)):
        opts = {"stride": strides, "dilation": dilations, "groups": n.attr("group", 1)}
        y = axes(t, "conv_transpose#", k)(n.x[0], n.x[1], None, opts)
        grow = [(max(-a, 0), max(-b + e, 0)) for (a, b), e in zip(pads, extra)]
        y = pad_input(t, y, grow, 0.0)
        for d, (a, b) in enumerate(pads):
            size = t.shape(y)[d + 2]
            lo, hi = max(a, 0), max(b - extra[d], 0)
            y = t.narrow(y, d + 2, lo, size - lo - hi)
        if n.at(2) is not None:
            y = t.add(y, t.reshape(n.x[2], (-1,) + (1,) * k))
        return y
    opts = {"stride": strides, "dilation": dilations, "groups": n.attr("group", 1),
            "pad": explicit([a for a, _ in pads]), "output_pad": explicit(extra)}
    return axes(t, "conv_transpose#", k)(n.x[0], n.x[1], n.at(2), opts)


def pool_geometry(n):
    kernel = list(n.attr("kernel_shape"))
    k = len(kernel)
    strides, dilations = list(n.attr("strides") or [1] * k), list(n.attr("dilations") or [1] * k)
    return k, kernel, strides, dilations, pads_of(n, kernel, strides, dilations)


def ceil_pads(n, kernel, strides, dilations, pads):
    """Ceil mode as padding after the end, so that windows beyond it exist; ONNX drops those that start there."""
    out = []
    for size, w, s, d, (a, b) in zip(n.shape()[2:], kernel, strides, dilations, pads):
        reach = d * (w - 1) + 1
        count = -(-(size + a + b - reach) // s) + 1
        if (count - 1) * s >= size + a:
            count -= 1
        out.append((a, max((count - 1) * s + reach - size - a, 0)))
    return out


@op("MaxPool")
def max_pool(t, n):
    k, kernel, strides, dilations, pads = pool_geometry(n)
    x, dtype = n.x[0], t.dtype_of(n.x[0])
    if not is_float(t, x):  # Tern pools floats, and these hold an uint8
        x = t.cast(x, t.enums["tern_dtype"]["TERN_F32"])
    if n.attr("ceil_mode", 0):
        pads = ceil_pads(n, kernel, strides, dilations, pads)
    if n.n_out > 1:
        return max_pool_indices(t, n, x, k, kernel, strides, dilations, pads)
    if any(a or b for a, b in pads):
        x = pad_input(t, x, pads, float("-inf"))
    return t.cast(axes(t, "max_pool#", k)(x, kernel, {"stride": strides, "dilation": dilations}), dtype)


def max_pool_indices(t, n, x, k, kernel, strides, dilations, pads):
    from api import Out
    index, s = Out(), n.shape()
    y = axes(t, "max_pool#_with_indices", k)(pad_input(t, x, pads, float("-inf")), kernel,
                                                 {"stride": strides, "dilation": dilations}, index)
    # Tern's positions are within a padded plane; ONNX's within the whole unpadded tensor.
    i64 = t.enums["tern_dtype"]["TERN_I64"]
    at = t.cast(index[0], i64)
    padded = [size + a + b for size, (a, b) in zip(s[2:], pads)]
    flat, rest = None, at
    parts = []
    for size in reversed(padded):
        parts.append(t.remainder(rest, t.full_like(rest, size)))
        rest = t.floor_divide(rest, t.full_like(rest, size))
    digits = list(zip(reversed(parts), s[2:], pads))
    for part, size, (a, _) in reversed(digits) if n.attr("storage_order", 0) else digits:
        part = t.sub_scalar(part, a)
        flat = part if flat is None else t.add(t.mul_scalar(flat, size), part)
    planes = t.reshape(t.arange(0, s[0] * s[1], {"dtype": i64}), s[:2] + (1,) * k)
    return [t.cast(y, t.dtype_of(n.x[0])), t.add(flat, t.mul_scalar(planes, int(np.prod(s[2:]))))]


@op("AveragePool")
def average_pool(t, n):
    k, kernel, strides, dilations, pads = pool_geometry(n)
    x, count_pad = n.x[0], n.attr("count_include_pad", 0)
    real = pads
    if n.attr("ceil_mode", 0):
        pads = ceil_pads(n, kernel, strides, dilations, pads)
    if not any(a or b for a, b in pads) and all(d == 1 for d in dilations):
        return axes(t, "avg_pool#", k)(x, kernel, {"stride": strides})
    # Sums over windows of the padded input, divided by how much of each window counts: a depthwise sum of ones.
    ones = pad_input(t, t.ones_like(x), real, 1.0 if count_pad else 0.0)
    rest = [(a - c, b - d) for (a, b), (c, d) in zip(pads, real)]
    ones, x = pad_input(t, ones, rest, 0.0), pad_input(t, x, pads, 0.0)
    c = n.shape()[1]
    weight = t.ones((c, 1, *kernel), {"dtype": t.dtype_of(x)})
    opts = {"stride": strides, "dilation": dilations, "groups": c}
    f = axes(t, "conv#", k)
    return t.div(f(x, weight, None, opts), f(ones, weight, None, opts))


@op("LpPool")
def lp_pool(t, n):
    k, kernel, strides, dilations, pads = pool_geometry(n)
    p, x = float(n.attr("p", 2)), n.x[0]
    if n.attr("ceil_mode", 0):
        pads = ceil_pads(n, kernel, strides, dilations, pads)
    x = pad_input(t, x, pads, 0.0)
    c = n.shape()[1]
    weight = t.ones((c, 1, *kernel), {"dtype": t.dtype_of(x)})
    y = axes(t, "conv#", k)(t.pow_scalar(t.abs(x), p), weight, None,
                                {"stride": strides, "dilation": dilations, "groups": c})
    return t.pow_scalar(y, 1 / p)


@op("GlobalAveragePool")
def global_average_pool(t, n): return t.mean(n.x[0], list(range(2, n.ndim())), spatial(n), True)


@op("GlobalMaxPool")
def global_max_pool(t, n): return t.max(n.x[0], list(range(2, n.ndim())), spatial(n), True)


@op("MaxUnpool")
def max_unpool(t, n):
    k = spatial(n)
    kernel, strides = list(n.attr("kernel_shape")), list(n.attr("strides") or [1] * k)
    pads = n.attr("pads") or [0] * (2 * k)
    s = n.shape()
    inner = [(size - 1) * st + w - a - b for size, st, w, a, b in zip(s[2:], strides, kernel, pads[:k], pads[k:])]
    want = n.ints(2)
    size = int(np.prod(inner))
    # ONNX's positions are within the whole tensor of the computed shape.
    planes = t.mul_scalar(t.reshape(t.arange(0, s[0] * s[1], {"dtype": t.dtype_of(n.x[1])}), s[:2] + (1,) * k), size)
    y = axes(t, "max_unpool#", k)(n.x[0], t.sub(n.x[1], planes), list(inner))
    if want is None:
        return y
    return pad_input(t, y, [(0, int(w) - i) for w, i in zip(want[2:], inner)], 0.0)


@op("BatchNormalization")
def batch_norm(t, n):
    x, scale, bias, mean, var = n.x
    training = bool(n.attr("training_mode", 0))
    mean, var = t.clone(mean), t.clone(var)
    if training:
        # ONNX's running variance takes the biased one, Tern's (as PyTorch's) the unbiased: from the statistics themselves.
        m = 1.0 - n.attr("momentum", 0.9)
        dims = [0] + list(range(2, n.ndim()))
        batch_mean = t.mean(x, dims, len(dims), False)
        batch_var = t.var(x, dims, len(dims), 0.0, False)
        mean_out = t.add(t.mul_scalar(mean, 1 - m), t.mul_scalar(batch_mean, m))
        var_out = t.add(t.mul_scalar(var, 1 - m), t.mul_scalar(batch_var, m))
        y = t.batch_norm(x, scale, bias, None, None, {"eps": n.attr("epsilon", 1e-5), "training": True})
        return [y, mean_out, var_out]
    return t.batch_norm(x, scale, bias, mean, var, {"eps": n.attr("epsilon", 1e-5)})


@op("InstanceNormalization")
def instance_norm(t, n):
    return t.instance_norm(n.x[0], n.x[1], n.x[2], None, None, {"eps": n.attr("epsilon", 1e-5)})


@op("GroupNormalization")
def group_norm(t, n):
    scale, bias, groups = n.x[1], n.x[2], n.attr("num_groups")
    c = n.shape()[1]
    if t.shape(scale)[0] != c:  # before operator set 21: one scale a group
        each = c // groups
        scale, bias = (t.reshape(t.contiguous(t.expand(t.unsqueeze(v, 1), (groups, each))), (c,)) for v in (scale, bias))
    return t.group_norm(n.x[0], groups, scale, bias, n.attr("epsilon", 1e-5))


@op("LayerNormalization")
def layer_norm(t, n):
    x, axis, eps = n.x[0], n.attr("axis", -1) % n.ndim(), n.attr("epsilon", 1e-5)
    dims = list(range(axis, n.ndim()))
    y = t.layer_norm(x, len(dims), n.x[1], n.at(2), eps)
    if n.n_out == 1:
        return y
    mean = t.mean(x, dims, len(dims), True)
    var = t.var(x, dims, len(dims), 0.0, True)
    return [y, mean, t.rsqrt(t.add_scalar(var, eps))]


@op("RMSNormalization")
def rms_norm(t, n):
    axis = n.attr("axis", -1) % n.ndim()
    return t.rms_norm(n.x[0], n.ndim() - axis, n.x[1], n.attr("epsilon", 1e-5))


@op("MeanVarianceNormalization")
def mvn(t, n):
    axes = list(n.attr("axes") or [0, 2, 3])
    x = n.x[0]
    d = t.sub(x, t.mean(x, axes, len(axes), True))
    return t.div(d, t.add_scalar(t.std(x, axes, len(axes), 0.0, True), 1e-9))


@op("LRN")
def lrn(t, n):
    return t.local_response_norm(n.x[0], n.attr("size"), {"alpha": n.attr("alpha", 1e-4), "beta": n.attr("beta", 0.75),
                                                          "k": n.attr("bias", 1.0)})


@op("LpNormalization")
def lp_normalization(t, n):
    x, axis, p = n.x[0], n.attr("axis", -1), float(n.attr("p", 2))
    norm = t.norm(x, p, [axis], 1, True)
    zero = t.eq(norm, t.zeros_like(norm))
    return t.div(x, t.where(zero, t.ones_like(norm), norm))


@op("Softmax", "LogSoftmax")
def softmax(t, n):
    f = t.softmax if n.type == "Softmax" else t.log_softmax
    axis = n.attr("axis", -1 if n.opset >= 13 else 1)
    if n.opset >= 13:
        return f(n.x[0], axis)
    s = n.shape()
    axis %= len(s)
    flat = t.reshape(n.x[0], (int(np.prod(s[:axis], dtype=int)), int(np.prod(s[axis:], dtype=int))))
    return t.reshape(f(flat, 1), s)


@op("CausalConvWithState")
def causal_conv(t, n):
    x, before = n.x[0], n.shape(1)[2] - 1
    c = n.shape()[1]
    x = t.cat([n.x[3], x], 2, 2) if n.at(3) is not None else t.pad(x, [before, 0], 2, {})
    y = t.conv1d(x, n.x[1], n.at(2), {"groups": c})
    y = t.silu(y) if n.attr("activation", "none") in ("silu", "swish") else y
    return [y, t.narrow(x, 2, t.shape(x)[2] - before, before)]


@op("MatMul")
def matmul(t, n):
    if not is_float(t, n.x[0]):
        raise Excluded("matrix products of integers: Tern's are of floats")
    return t.matmul(n.x[0], n.x[1])


@op("Gemm")
def gemm(t, n):
    a, b, c = n.x[0], n.x[1], n.at(2)
    a = t.transpose(a, 0, 1) if n.attr("transA", 0) else a
    b = t.transpose(b, 0, 1) if n.attr("transB", 0) else b
    alpha, beta = n.attr("alpha", 1.0), n.attr("beta", 1.0)
    if c is None:
        return t.mul_scalar(t.matmul(a, b), alpha)
    return t.addmm(c, a, b, beta, alpha)


@op("Einsum")
def einsum(t, n): return t.einsum(n.attr("equation"), n.x, len(n.x))


@op("Det")
def det(t, n): return t.det(n.x[0])


@op("Col2Im")
def col2im(t, n):
    image, block = n.ints(1), n.ints(2)
    k = len(block)
    if k != 2:
        raise Excluded("Col2Im beyond images: Tern folds 2-D images")
    pads = list(n.attr("pads") or [0] * (2 * k))
    if pads[:k] != pads[k:]:
        raise Excluded("Col2Im with uneven pads")
    return t.col2im(n.x[0], image, block, {"stride": list(n.attr("strides") or [1] * k),
                                           "dilation": list(n.attr("dilations") or [1] * k), "pad": explicit(pads[:k])})


# ---- images --------------------------------------------------------------------------------------------------------------

@op("GridSample")
def grid_sample(t, n):
    mode = {"bilinear": "LINEAR", "linear": "LINEAR", "nearest": "NEAREST", "bicubic": "CUBIC",
            "cubic": "CUBIC"}[n.attr("mode", "linear")]
    padding = {"zeros": "ZEROS", "border": "BORDER", "reflection": "REFLECTION"}[n.attr("padding_mode", "zeros")]
    opts = {"mode": t.enums["tern_grid_mode"]["TERN_GRID_" + mode],
            "padding": t.enums["tern_grid_padding"]["TERN_GRID_" + padding], "align_corners": bool(n.attr("align_corners", 0))}
    return t.grid_sample(n.x[0], n.x[1], opts)


@op("AffineGrid")
def affine_grid(t, n):
    return t.affine_grid(n.x[0], n.ints(1), bool(n.attr("align_corners", 0)))
