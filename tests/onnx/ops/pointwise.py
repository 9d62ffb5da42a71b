"""Elementwise operators and activations."""
import numpy as np

from . import Excluded, dtype_of, is_float, op, to_array

SAME = {  # ONNX's name to Tern's, one input
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan", "Atanh": "atanh",
    "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "Floor": "floor", "HardSwish": "hardswish",
    "IsNaN": "isnan", "Log": "log", "Mish": "mish", "Neg": "neg", "Not": "logical_not", "Reciprocal": "reciprocal",
    "Relu": "relu", "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh",
    "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh",
    "BitwiseNot": "bitwise_not",
}
for onnx_name, name in SAME.items():
    op(onnx_name)(lambda t, n, name=name: getattr(t, name)(n.x[0]))

TWO = {"Sub": "sub", "Equal": "eq", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le",
       "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "BitwiseAnd": "bitwise_and",
       "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "Mul": "mul", "Add": "add"}
for onnx_name, name in TWO.items():
    op(onnx_name)(lambda t, n, name=name: getattr(t, name)(n.x[0], opset6_axis(t, n, n.x[1])))


def opset6_axis(t, n, b):
    """Operator sets before 7: b's dimensions start at `axis` of a."""
    if n.attr("axis") is None:
        return b
    shape = t.shape(b) + (1,) * (n.ndim() - n.attr("axis") - t.ndim(b))
    return t.reshape(b, shape)


@op("Div")
def div(t, n):
    a, b = n.x[0], opset6_axis(t, n, n.x[1])
    if is_float(t, a):
        return t.div(a, b)
    # Integers truncate in ONNX: a - fmod(a, b) divides without a rest.
    return t.floor_divide(t.sub(a, t.fmod(a, b)), b)


@op("Mod")
def mod(t, n):
    return t.fmod(n.x[0], n.x[1]) if n.attr("fmod", 0) else t.remainder(n.x[0], n.x[1])


@op("Pow")
def pow_(t, n):
    a, b = n.x[0], opset6_axis(t, n, n.x[1])
    dtype = t.dtype_of(a)
    # The result has the base's dtype; integers are exact in f64 up to 2^53.
    if dtype != t.dtype_of(b) or not is_float(t, a):
        wide = t.enums["tern_dtype"]["TERN_F64"]
        return t.cast(t.pow(t.cast(a, wide), t.cast(b, wide)), dtype)
    return t.pow(a, b)


@op("BitShift")
def bit_shift(t, n):
    return (t.left_shift if n.attr("direction") == "LEFT" else t.right_shift)(n.x[0], n.x[1])


def fold(t, xs, f):
    y = xs[0]
    for x in xs[1:]:
        y = f(y, x)
    return y


@op("Max")
def max_(t, n): return fold(t, n.x, t.maximum)


@op("Min")
def min_(t, n): return fold(t, n.x, t.minimum)


@op("Sum")
def sum_(t, n): return fold(t, n.x, t.add)


@op("Mean")
def mean(t, n): return t.div_scalar(fold(t, n.x, t.add), len(n.x))


@op("Where")
def where(t, n): return t.where(n.x[0], n.x[1], n.x[2])


@op("Identity")
def identity(t, n): return n.x[0]


@op("Clip")
def clip(t, n):
    x = n.x[0]
    lo = n.at(1) if n.at(1) is not None else t.tensor(np.float32(n.attr("min"))) if n.attr("min") is not None else None
    hi = n.at(2) if n.at(2) is not None else t.tensor(np.float32(n.attr("max"))) if n.attr("max") is not None else None
    if lo is not None:
        x = t.maximum(x, lo)
    if hi is not None:
        x = t.minimum(x, hi)
    return x


@op("Cast", "CastLike")
def cast(t, n):
    return t.cast(n.x[0], dtype_of(t, n.attr("to")) if n.type == "Cast" else t.dtype_of(n.x[1]))


@op("IsInf")
def isinf(t, n):
    x = n.x[0]
    y = t.isinf(x)
    zero = t.zeros_like(x)
    if not n.attr("detect_negative", 1):
        y = t.logical_and(y, t.gt(x, zero))
    if not n.attr("detect_positive", 1):
        y = t.logical_and(y, t.lt(x, zero))
    return y


@op("Elu")
def elu(t, n): return t.elu(n.x[0], n.attr("alpha", 1.0))


@op("Celu")
def celu(t, n): return t.celu(n.x[0], n.attr("alpha", 1.0))


@op("Selu")
def selu(t, n):
    alpha, gamma = n.attr("alpha", 1.67326319217681884765625), n.attr("gamma", 1.05070102214813232421875)
    if abs(alpha - 1.6732632) < 1e-6 and abs(gamma - 1.0507010) < 1e-6:
        return t.selu(n.x[0])
    return t.mul_scalar(t.elu(n.x[0], alpha), gamma)


@op("LeakyRelu")
def leaky_relu(t, n): return t.leaky_relu(n.x[0], n.attr("alpha", 0.01))


@op("ThresholdedRelu")
def thresholded_relu(t, n): return t.threshold(n.x[0], n.attr("alpha", 1.0), 0.0)


@op("PRelu")
def prelu(t, n):
    x, slope = n.x
    return t.where(t.lt(x, t.zeros_like(x)), t.mul(x, slope), x)


@op("HardSigmoid")
def hard_sigmoid(t, n):
    return t.clamp(t.add_scalar(t.mul_scalar(n.x[0], n.attr("alpha", 0.2)), n.attr("beta", 0.5)), 0.0, 1.0)


@op("Gelu")
def gelu(t, n): return t.gelu_tanh(n.x[0]) if n.attr("approximate", "none") == "tanh" else t.gelu(n.x[0])


@op("Swish")
def swish(t, n):
    alpha = n.attr("alpha", 1.0)
    return t.silu(n.x[0]) if alpha == 1.0 else t.mul(n.x[0], t.sigmoid(t.mul_scalar(n.x[0], alpha)))


@op("SwiGLU")
def swiglu(t, n):
    if n.attr("alpha", 1.0) == 1.0:
        return t.swiglu(n.x[0], n.x[1])
    return t.mul(swish(t, n), n.x[1])


@op("Shrink")
def shrink(t, n):
    x, bias, lambd = n.x[0], n.attr("bias", 0.0), n.attr("lambd", 0.5)
    dtype = t.dtype_of(x)
    f = x if is_float(t, x) else t.cast(x, 0)
    zero = t.zeros_like(f)
    y = t.where(t.lt(f, t.full_like(f, -lambd)), t.add_scalar(f, bias),
                t.where(t.gt(f, t.full_like(f, lambd)), t.sub_scalar(f, bias), zero))
    return t.cast(y, dtype)


@op("Constant")
def constant(t, n):
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in n.attributes:
            v = n.attributes[name]
            if name == "value":
                return t.tensor(to_array(t, v))
            return t.tensor(np.asarray(v, np.float32 if "float" in name else np.int64))
    raise Excluded("a constant of strings or sparse values")


@op("Dropout")
def dropout(t, n):
    x = n.x[0]
    ratio = float(n.host(1)) if n.at(1) is not None else n.attr("ratio", 0.5)
    training = bool(n.host(2)) if n.at(2) is not None else False
    ones = t.cast(t.ones_like(x), t.enums["tern_dtype"]["TERN_BOOL"])
    if not training:
        return [x, ones]
    factors = t.dropout(t.ones_like(x), ratio)
    return [t.mul(x, factors), t.cast(factors, t.enums["tern_dtype"]["TERN_BOOL"])]


