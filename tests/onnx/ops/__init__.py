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
outside("strings", "StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch", "TfIdfVectorizer")
outside("sequences and optional values are no tensors", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
        "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence", "ConcatFromSequence", "Optional",
        "OptionalGetElement", "OptionalHasElement")
outside("Tern decodes no image files", "ImageDecoder")
outside("Tern has no op for choosing or pooling boxes", "NonMaxSuppression", "RoiAlign", "MaxRoiPool")
outside("Tern has no filter banks", "MelWeightMatrix")
outside("Tern has no op that reads one dtype's bits as another's", "BitCast")
outside("Tern has no deformable convolution", "DeformConv")
# Domains other than ONNX's own.
DOMAINS = {"ai.onnx.ml": "classical machine learning on tables and strings",
           "ai.onnx.preview.training": "optimizer steps as nodes of a graph: Tern's work on modules"}


class Values:
    """Tensors by name; an inner graph sees the outer one's."""
    def __init__(self, t, outer=None):
        self.t, self.of = t, dict(outer.of) if outer else {"": None}

    def put(self, name, v):
        if isinstance(v, np.ndarray) or np.isscalar(v):
            v = self.t.tensor(np.asarray(v))
        self.of[name] = v

    def numpy(self, name):
        return self.t.numpy(self.of[name])


class Node:
    def __init__(self, t, proto, opset, values, run):
        """run(graph, inputs) runs a graph that stands in an attribute."""
        self.t, self.type, self.opset, self.run = t, proto.op_type, opset, run
        self.x = [values.of[i] for i in proto.input]
        self.n_out = len(proto.output)
        self.outputs = list(proto.output)
        self.attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}

    def attr(self, name, default=None):
        v = self.attributes.get(name, default)
        return v.decode() if isinstance(v, bytes) else v

    def tensor_attr(self, name):
        a = self.attributes.get(name)
        return None if a is None else to_array(self.t, a)

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


# The dtypes of ONNX's enumeration that are Tern's, and the names of the others.
TYPES = {1: "F32", 2: "U8", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 16: "BF16"}
OTHERS = {3: "int8", 4: "uint16", 5: "int16", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
          17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
          23: "float4_e2m1", 24: "float8_e8m0", 25: "uint2", 26: "int2"}


def dtype_of(t, number):
    if number == 8:
        raise Excluded("strings")
    if number in OTHERS:
        raise Excluded(f"{OTHERS[number]} is no dtype of Tern")
    return t.enums["tern_dtype"]["TERN_" + TYPES[number]]


def to_array(t, proto):
    """A TensorProto as an array of a dtype that Tern has."""
    dtype_of(t, proto.data_type)
    if proto.data_type != 16:
        return numpy_helper.to_array(proto)
    try:  # older packages onnx widen bfloat16
        import ml_dtypes
    except ImportError:
        raise Excluded("bfloat16 needs the Python package ml_dtypes") from None
    bits = np.frombuffer(proto.raw_data, "<u2") if proto.raw_data else np.asarray(proto.int32_data, np.uint16)
    return bits.view(ml_dtypes.bfloat16).reshape(tuple(proto.dims))


def is_float(t, x):
    return bool(t.dtype_is_float(t.dtype_of(x)))


from . import attention, control, draws, loss, neural, pointwise  # noqa: E402,F401
from . import quantised, recurrent, reduce, resize, shape, spectral  # noqa: E402,F401
