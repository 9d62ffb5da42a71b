"""Quantised arithmetic: of uint8, the one quantised dtype that Tern has. Whole numbers are exact in f64."""
from . import dtype_of, op
from .neural import convolution


def f64(t, x):
    return t.cast(x, t.enums["tern_dtype"]["TERN_F64"])


def along(t, n, v):
    """A scale or a zero point so that it broadcasts to input 0: one for all, one for each index of `axis`, or one for
    each block of `block_size` indices."""
    if v is None or t.numel(v) == 1:
        return v if v is None else t.reshape(v, ())
    axis, block = n.attr("axis", 1) % n.ndim(), n.attr("block_size", 0)
    if block:
        return t.narrow(t.repeat_interleave(v, block, axis), axis, 0, n.shape()[axis])
    return t.reshape(v, (-1,) + (1,) * (n.ndim() - 1 - axis))


def to_u8(t, x):
    return t.cast(t.clamp(t.round(x), 0.0, 255.0), t.enums["tern_dtype"]["TERN_U8"])


def plus(t, x, zero):
    return x if zero is None else t.add(x, t.cast(zero, t.dtype_of(x)))


def less(t, x, zero):
    return f64(t, x) if zero is None else t.sub(f64(t, x), f64(t, zero))


@op("QuantizeLinear")
def quantize(t, n):
    if n.at(2) is None and n.attr("output_dtype"):
        dtype_of(t, n.attr("output_dtype"))
    x = n.x[0]
    if n.attr("precision"):
        x = t.cast(x, dtype_of(t, n.attr("precision")))
    return to_u8(t, plus(t, t.round(t.div(x, t.cast(along(t, n, n.x[1]), t.dtype_of(x)))), along(t, n, n.at(2))))


@op("DequantizeLinear")
def dequantize(t, n):
    y = t.mul(less(t, n.x[0], along(t, n, n.at(2))), f64(t, along(t, n, n.x[1])))
    return t.cast(y, dtype_of(t, n.attr("output_dtype")) if n.attr("output_dtype") else t.dtype_of(n.x[1]))


@op("DynamicQuantizeLinear")
def dynamic_quantize(t, n):
    x = n.x[0]
    zero = t.zeros((), {"dtype": t.dtype_of(x)})
    lowest, highest = t.minimum(t.min(x, [], 0, False), zero), t.maximum(t.max(x, [], 0, False), zero)
    span = t.sub(highest, lowest)
    scale = t.div_scalar(t.where(t.eq(span, zero), t.ones_like(span), span), 255.0)
    first = t.clamp(t.round(t.neg(t.div(lowest, scale))), 0.0, 255.0)
    return [to_u8(t, t.add(t.round(t.div(x, scale)), first)), scale, to_u8(t, first)]


def requantised(t, y, scales, zero):
    """y in units of the inputs' scales, in those of the output's."""
    a, b, out = (f64(t, s) for s in scales)
    return to_u8(t, plus(t, t.mul(y, t.div(t.mul(a, b), out)), zero))


@op("QLinearMatMul")
def qlinear_matmul(t, n):
    y = t.matmul(less(t, n.x[0], n.at(2)), less(t, n.x[3], n.at(5)))
    return requantised(t, y, (n.x[1], n.x[4], n.x[6]), n.at(7))


def of_channels(t, v):
    """One number for each output channel of a 2-D convolution's weights."""
    return v if v is None or t.ndim(v) == 0 else t.reshape(v, (-1, 1, 1, 1))


@op("QLinearConv")
def qlinear_conv(t, n):
    w = less(t, n.x[3], of_channels(t, n.at(5)))
    y = convolution(t, n, less(t, n.x[0], n.at(2)), w, None if n.at(8) is None else f64(t, n.x[8]))
    scale = n.x[4] if t.numel(n.x[4]) == 1 else t.reshape(n.x[4], (1, -1, 1, 1))
    return requantised(t, y, (n.x[1], scale, n.x[6]), n.at(7))


@op("MatMulInteger")
def matmul_integer(t, n):
    a, b = n.at(2), n.at(3)
    a = t.unsqueeze(a, 1) if a is not None and t.numel(a) > 1 else a  # one for each row
    y = t.matmul(less(t, n.x[0], a), less(t, n.x[1], b))
    return t.cast(y, t.enums["tern_dtype"]["TERN_I32"])


@op("ConvInteger")
def conv_integer(t, n):
    y = convolution(t, n, less(t, n.x[0], n.at(2)), less(t, n.x[1], of_channels(t, n.at(3))), None)
    return t.cast(y, t.enums["tern_dtype"]["TERN_I32"])
