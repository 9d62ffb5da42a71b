"""Random operators. Draws are the library's own: run.py compares shapes and dtypes, and what `plausible` knows of the
values."""
import numpy as np

from . import dtype_of, op

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


@op("Bernoulli")
def bernoulli(t, n):
    y = t.bernoulli(n.x[0])
    return t.cast(y, dtype_of(t, n.attr("dtype"))) if n.attr("dtype") else y


def like(t, n):
    """Shape and dtype of a random operator's result."""
    if n.type.endswith("Like"):
        return n.shape(), dtype_of(t, n.attr("dtype")) if n.attr("dtype") else t.dtype_of(n.x[0])
    return tuple(n.attr("shape")), dtype_of(t, n.attr("dtype", 1))


@op("RandomUniform", "RandomUniformLike")
def uniform(t, n):
    shape, dtype = like(t, n)
    return t.rand(shape, n.attr("low", 0.0), n.attr("high", 1.0), {"dtype": dtype})


@op("RandomNormal", "RandomNormalLike")
def normal(t, n):
    shape, dtype = like(t, n)
    return t.randn(shape, n.attr("mean", 0.0), n.attr("scale", 1.0), {"dtype": dtype})


@op("Multinomial")
def multinomial(t, n):
    p = t.softmax(n.x[0], -1)
    return t.cast(t.multinomial(p, n.attr("sample_size", 1), True), dtype_of(t, n.attr("dtype", 6)))


def drawn(graph, inputs):
    """Whether the results are random."""
    if any(node.op_type in RANDOM for node in graph.node):
        return True
    dropout = len(graph.node) == 1 and graph.node[0].op_type == "Dropout"
    given = [inputs.get(i) for i in graph.node[0].input] if dropout else []
    return len(given) > 2 and bool(given[2]) and (given[1] is None or float(given[1]) > 0)


def plausible(graph, inputs, outputs):
    """What must hold of random results whatever was drawn; None, or what is wrong. outputs holds (got, expected)."""
    kinds = {node.op_type for node in graph.node}
    zeros_and_ones = "Bernoulli" in kinds or any("Bernoulli" in node.name + "".join(node.output) for node in graph.node)
    for got, want in outputs:
        if got.shape != want.shape or got.dtype != want.dtype:
            return f"shape {list(got.shape)} {got.dtype}, expected {list(want.shape)} {want.dtype}"
        if zeros_and_ones and not np.isin(got.astype(np.float64), (0, 1)).all():
            return "other values than 0 and 1"
    if kinds == {"Dropout"}:
        x, ratio = (inputs.get(i) for i in graph.node[0].input[:2])
        ratio, y = 0.5 if ratio is None else float(ratio), outputs[0][0]
        kept = outputs[1][0] if len(outputs) > 1 else y != 0
        if not np.allclose(y, np.where(kept, x / (1 - ratio), 0), rtol=1e-5):
            return "kept elements are not scaled, or others not zero"
        if not 0 < np.count_nonzero(kept) < kept.size:
            return "all or none dropped"
    return None
