"""ONNX operators by Tern's functions: OPS[op_type](t, node) gives the result or a list of them. t is api.Library, node.x
the inputs as tensors (None where one is left out), node.attr its attributes."""
import numpy as np
from onnx import helper, numpy_helper

OPS = {}


class Excluded(Exception):
    """Why a case is none for Tern."""


def op(*names):
    def register(f):
        for n in names:
            OPS[n] = f
        return f
    return register


def outside(reason, *names):
    for n in names:
        OUTSIDE[n] = reason


OUTSIDE = {}
outside("strings", "StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch", "TfIdfVectorizer", "LabelEncoder")
outside("control flow is the program's own, in C", "If", "Loop", "Scan", "SequenceMap")
outside("sequences and optional values are no tensors", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
        "SequenceInsert", "SequenceLength", "SplitToSequence", "ConcatFromSequence", "Optional", "OptionalGetElement",
        "OptionalHasElement")
outside("complex numbers are no dtype of Tern", "DFT", "STFT")
outside("quantised arithmetic", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul",
        "QLinearConv", "MatMulInteger", "ConvInteger")
outside("image files", "ImageDecoder")
outside("detection heads", "NonMaxSuppression", "RoiAlign", "MaxRoiPool")
outside("signal windows and filter banks", "BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix")
outside("bits of a dtype under another", "BitCast")
outside("deformable convolution", "DeformConv")
outside("trees and other classical models", "TreeEnsemble", "ArrayFeatureExtractor", "Binarizer")
outside("training operators of ONNX's preview domain", "Adam", "Adagrad", "Momentum", "Gradient")
outside("linear and programmable attention, with state", "LinearAttention", "FlexAttention", "CausalConvWithState")


class Values:
    """Tensors by name."""
    def __init__(self, t):
        self.t, self.of = t, {"": None}

    def put(self, name, v):
        if isinstance(v, np.ndarray) or np.isscalar(v):
            v = self.t.tensor(np.asarray(v))
        self.of[name] = v

    def numpy(self, name):
        return self.t.numpy(self.of[name])


class Node:
    def __init__(self, t, proto, opset, values):
        self.t, self.type, self.opset = t, proto.op_type, opset
        self.x = [values.of[i] for i in proto.input]
        self.n_out = len(proto.output)
        self.outputs = list(proto.output)
        self.attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}

    def attr(self, name, default=None):
        v = self.attributes.get(name, default)
        return v.decode() if isinstance(v, bytes) else v

    def tensor_attr(self, name):
        a = self.attributes.get(name)
        return None if a is None else numpy_helper.to_array(a)

    def at(self, i):
        return self.x[i] if i < len(self.x) else None

    def host(self, i):
        """A small input that Tern takes as plain arguments: shapes, axes, counts."""
        x = self.at(i)
        return None if x is None else self.t.numpy(x)

    def ints(self, i, name=None):
        """Integers from input i (newer operator sets) or the attribute."""
        a = self.host(i) if self.at(i) is not None else self.attr(name) if name else None
        return None if a is None else [int(v) for v in np.atleast_1d(a)]

    def ndim(self, i=0):
        return self.t.ndim(self.x[i])

    def shape(self, i=0):
        return self.t.shape(self.x[i])


# The dtypes of ONNX's enumeration that are Tern's.
TYPES = {1: "F32", 2: "U8", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 16: "BF16"}


def dtype_of(t, number):
    if number not in TYPES:
        raise Excluded(f"dtype {helper.tensor_dtype_to_string(number).split('.')[-1].lower()}")
    return t.enums["tern_dtype"]["TERN_" + TYPES[number]]


def is_float(t, x):
    return bool(t.dtype_is_float(t.dtype_of(x)))


def no_opts():
    return {}


from . import attention, loss, neural, pointwise, reduce, resize, shape  # noqa: E402,F401
