"""Windows and discrete Fourier transforms, these by products with tables of cosines and sines."""
import math

import numpy as np

from . import dtype_of, op


@op("HannWindow", "HammingWindow", "BlackmanWindow")
def window(t, n):
    size = int(np.ravel(n.host(0))[0])
    f64 = {"dtype": t.enums["tern_dtype"]["TERN_F64"]}
    turn = t.mul_scalar(t.arange(0, size, f64), 2 * math.pi / (size if n.attr("periodic", 1) else size - 1))
    a = {"HannWindow": (0.5, 0.5, 0.0), "HammingWindow": (25 / 46, 21 / 46, 0.0), "BlackmanWindow": (0.42, 0.5, 0.08)}[n.type]
    y = t.rsub_scalar(t.mul_scalar(t.cos(turn), a[1]), a[0])
    y = t.add(y, t.mul_scalar(t.cos(t.mul_scalar(turn, 2.0)), a[2]))
    return t.cast(y, dtype_of(t, n.attr("output_datatype", 1)))


def tables(t, rows, columns, length, dtype):
    """cos and sin of 2 pi i j / length [rows, columns]; i j modulo length, so that the angles are exact."""
    i64 = {"dtype": t.enums["tern_dtype"]["TERN_I64"]}
    ij = t.outer(t.arange(0, rows, i64), t.arange(0, columns, i64))
    angle = t.cast(t.remainder(ij, t.full_like(ij, length)), t.enums["tern_dtype"]["TERN_F64"])
    angle = t.mul_scalar(angle, 2 * math.pi / length)
    return t.cast(t.cos(angle), dtype), t.cast(t.sin(angle), dtype)


def fitted(t, x, size):
    """The last dimension cut or filled with zeros."""
    return t.pad(x, [0, size - t.shape(x)[-1]], 2, {})


def transform(t, real, imaginary, length, onesided):
    """Along the last dimension; imaginary or None. [..., frequencies, 2]."""
    rows = length // 2 + 1 if onesided else length
    cos, sin = tables(t, length, rows, length, t.dtype_of(real))
    real = fitted(t, real, length)
    re, im = t.matmul(real, cos), t.neg(t.matmul(real, sin))
    if imaginary is not None:
        imaginary = fitted(t, imaginary, length)
        re, im = t.add(re, t.matmul(imaginary, sin)), t.add(im, t.matmul(imaginary, cos))
    return t.stack([re, im], 2, -1)


def inverse(t, real, imaginary, length, onesided):
    if not onesided:
        # The conjugate of the transform of the conjugate.
        y = transform(t, real, t.neg(imaginary), length, False)
        sign = t.tensor(np.asarray([1, -1], np.float64))
        return t.div_scalar(t.mul(y, t.cast(sign, t.dtype_of(y))), length)
    # Of a real signal: each frequency but the first and, if length is even, the last stands for its mirror too.
    rows = length // 2 + 1
    cos, sin = tables(t, rows, length, length, t.dtype_of(real))
    twice = np.full(rows, 2.0 / length)
    twice[0] /= 2
    if length % 2 == 0:
        twice[-1] /= 2
    weight = t.cast(t.tensor(twice), t.dtype_of(real))
    real, imaginary = (t.mul(fitted(t, v, rows), weight) for v in (real, imaginary))
    return t.unsqueeze(t.sub(t.matmul(real, cos), t.matmul(imaginary, sin)), -1)


@op("DFT")
def dft(t, n):
    x = n.x[0]
    axis = int(np.ravel(n.host(2))[0]) if n.at(2) is not None else n.attr("axis", -2 if n.opset >= 20 else 1)
    axis %= n.ndim()
    back, onesided = n.attr("inverse", 0), n.attr("onesided", 0)
    size = n.shape()[axis]
    length = int(np.ravel(n.host(1))[0]) if n.at(1) is not None else 2 * (size - 1) if back and onesided else size
    parts = [t.movedim(t.select(x, -1, i), axis, -1) for i in range(n.shape()[-1])]
    imaginary = parts[1] if len(parts) > 1 else t.zeros_like(parts[0]) if back else None
    y = (inverse if back else transform)(t, parts[0], imaginary, length, onesided)
    return t.movedim(y, -2, axis)


@op("STFT")
def stft(t, n):
    step = int(np.ravel(n.host(1))[0])
    length = int(np.ravel(n.host(3))[0]) if n.at(3) is not None else n.shape(2)[0]
    frames = []
    for i in range(n.shape()[-1]):
        f = t.unfold(t.select(n.x[0], -1, i), 1, length, step)
        frames.append(t.mul(f, n.x[2]) if n.at(2) is not None else f)
    return transform(t, frames[0], frames[1] if len(frames) > 1 else None, length, n.attr("onesided", 1))
