"""Losses."""
from . import op

REDUCTION = {"mean": 0, "sum": 1, "none": 2}


@op("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(t, n):
    opts = {"reduction": REDUCTION[n.attr("reduction", "mean")]}
    if n.attr("ignore_index") is not None:
        opts.update(has_ignore_index=True, ignore_index=n.attr("ignore_index"))
    if n.at(2) is not None:
        opts["weight"] = n.at(2)
    y = t.cross_entropy(n.x[0], n.x[1], opts)
    return [y, t.log_softmax(n.x[0], 1)] if n.n_out > 1 else y


@op("NegativeLogLikelihoodLoss")
def nll(t, n):
    opts = {"reduction": REDUCTION[n.attr("reduction", "mean")]}
    if n.attr("ignore_index") is not None:
        opts.update(has_ignore_index=True, ignore_index=n.attr("ignore_index"))
    if n.at(2) is not None:
        opts["weight"] = n.at(2)
    return t.nll_loss(n.x[0], n.x[1], opts)
