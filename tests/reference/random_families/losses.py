"""core/loss.h."""
import numpy as np
import torch
import torch.nn.functional as F
from pytorch_random import Case, Refused, left_out, op


def reduction(g):
    r = g.pick("mean", "sum", "none")
    g.note(reduction=r)
    return g.enum("TERN_REDUCE_" + r.upper()), r


def reduced(x, r):
    return x.mean() if r == "mean" else x.sum() if r == "sum" else x


def pairwise(name, special):
    @op(name)
    def draw(g):
        a, b = g.broadcasts(2)
        n, r = reduction(g)
        return Case([g.real(a, special=special), g.real(b)], lambda t, x, y: getattr(t, name)(x, y, n),
                    lambda x, y: getattr(F, name)(x, y, reduction=r))


pairwise("mse_loss", True)
# NaN is not drawn for these: PyTorch's gradient there is finite where its loop is vectorised, NaN elsewhere
pairwise("l1_loss", False)


@op("huber_loss")
def _(g):
    a, b = g.broadcasts(2)
    n, r = reduction(g)
    delta = g.pick(1., 0.5, 2., 0.01)
    g.note(delta=delta)
    return Case([g.real(a), g.real(b)], lambda t, x, y: t.huber_loss(x, y, delta, n),
                lambda x, y: F.huber_loss(x, y, reduction=r, delta=delta))


@op("smooth_l1_loss")
def _(g):
    a, b = g.broadcasts(2)
    n, r = reduction(g)
    beta = g.pick(1., 0.5, 2., 0.)
    g.note(beta=beta)
    return Case([g.real(a), g.real(b)], lambda t, x, y: t.smooth_l1_loss(x, y, beta, n),
                lambda x, y: F.smooth_l1_loss(x, y, reduction=r, beta=beta))


@op("kl_div")
def _(g):
    a, b = g.broadcasts(2)
    n, r = reduction(g)
    log, grad = g.chance(0.5), g.chance(0.5)
    g.note(log_target=log)
    # PyTorch's gradient at a target of 0 is NaN, so 0 is drawn without
    return Case([g.real(a), g.real(b, -3., 1.) if log else g.real(b, 0.1 if grad else 0., 1., grad)], lambda t, x, y: t.kl_div(x, y, log, n),
                lambda x, y: F.kl_div(x, y, reduction=r, log_target=log))


@op("gaussian_nll_loss")
def _(g):
    s = g.shape(1, 3)
    n, r = reduction(g)
    full, eps = g.chance(0.5), g.pick(0., 0.1)
    vs = g.pick(s, s, s[:-1] + (1,), s[:-1])
    g.note(full=full, eps=eps)
    return Case([g.real(s), g.real(s), g.real(vs, 0., 2.)],
                lambda t, x, y, v: t.gaussian_nll_loss(x, y, v, {"reduction": n, "full": full, "eps": eps}),
                lambda x, y, v: F.gaussian_nll_loss(x, y, v, full=full, eps=eps or 1e-6, reduction=r))


@op("poisson_nll_loss")
def _(g):
    a, b = g.broadcasts(2)
    n, r = reduction(g)
    log, full, eps = g.chance(0.5), g.chance(0.5), g.pick(0., 1e-2)
    g.note(log_input=log, full=full, eps=eps)
    grad = g.chance(0.5)  # as for kl_div
    return Case([g.real(a, -3. if log else 0.), g.real(b, 0.1 if grad else 0., 4., grad)],
                lambda t, x, y: t.poisson_nll_loss(x, y, log, {"reduction": n, "full": full, "eps": eps}),
                lambda x, y: F.poisson_nll_loss(x, y, log_input=log, full=full, eps=eps or 1e-8, reduction=r))


@op("bce_loss")
def _(g):
    s = g.shape()
    n, r = reduction(g)
    w = g.maybe(lambda: g.real(s[g.integer(0, len(s)):], 0., 2., grad=False))
    grad = g.chance(0.5)  # PyTorch's of the target does not bound the logarithms: NaN where the input is 0 or 1
    return Case([g.real(s, 0.1, 0.9) if grad else g.real(s, 0., 1.), g.real(s, 0., 1., grad), w], lambda t, x, y, w: t.bce_loss(x, y, w, n),
                lambda x, y, w: F.binary_cross_entropy(x, y, w, reduction=r))


@op("bce_with_logits")
def _(g):
    s = g.shape()
    n, r = reduction(g)
    w = g.maybe(lambda: g.real(s[g.integer(0, len(s)):], 0., 2., grad=False))
    p = g.maybe(lambda: g.real(s[g.integer(0, len(s)):], 0., 2., grad=False))
    return Case([g.real(s, -20., 20.), g.real(s, 0., 1.), w, p],
                lambda t, x, y, w, p: t.bce_with_logits(x, y, {"reduction": n, "weight": w, "pos_weight": p}),
                lambda x, y, w, p: F.binary_cross_entropy_with_logits(x, y, w, reduction=r, pos_weight=p))


@op("sigmoid_focal_loss")
def _(g):
    s = g.shape()
    n, r = reduction(g)
    alpha, gamma = g.pick(0.25, -1., 0.6), g.pick(2., 0., 1., 1.5)
    g.note(alpha=alpha, gamma=gamma)

    def focal(x, y):  # torchvision's text
        p = torch.sigmoid(x)
        ce = F.binary_cross_entropy_with_logits(x, y, reduction="none")
        loss = ce * (1 - (p * y + (1 - p) * (1 - y))) ** gamma
        return reduced((alpha * y + (1 - alpha) * (1 - y)) * loss if alpha >= 0 else loss, r)
    return Case([g.real(s, -8., 8.), g.of(g.rng.integers(0, 2, s), grad=False)],
                lambda t, x, y: t.sigmoid_focal_loss(x, y, alpha, gamma, n), focal)


@op("soft_margin_loss")
def _(g):
    s = g.shape()
    n, r = reduction(g)
    return Case([g.real(s, -8., 8.), g.of(g.rng.integers(0, 2, s) * 2 - 1, grad=False)],
                lambda t, x, y: t.soft_margin_loss(x, y, n), lambda x, y: F.soft_margin_loss(x, y, reduction=r))


@op("multilabel_soft_margin_loss")
def _(g):
    s = g.shape(1, 3)
    n, r = reduction(g)
    w = g.maybe(lambda: g.real(s[-1:], 0., 2.))
    return Case([g.real(s, -8., 8.), g.real(s, 0., 1.), w], lambda t, x, y, w: t.multilabel_soft_margin_loss(x, y, w, n),
                lambda x, y, w: F.multilabel_soft_margin_loss(x, y, w, reduction=r))


def classes(g):
    """Logits' shape, C, the target's shape."""
    c = g.size(False)
    if g.chance(0.15):
        return (c,), c, ()
    n, rest = g.size(), g.shape(0, 2, False)
    return (n, c) + rest, c, (n,) + rest


def labels(g, shape, c, ignore):
    v = g.rng.integers(0, c, shape)
    if g.chance(0.4):
        v = np.where(g.rng.random(shape) < 0.3, -100 if ignore is None or g.chance(0.2) else ignore, v)
    return v


@op("cross_entropy")
def _(g):
    s, c, ts = classes(g)
    n, r = reduction(g)
    w = g.maybe(lambda: g.real((c,), 0.1, 2., grad=False), 0.4)
    smooth = g.pick(0., 0., 0.1, 1.)
    if g.chance(0.3):
        g.note(smooth=smooth, target="probabilities")
        return Case([g.real(s, -5., 5.), g.real(s, 0., 1.), w],
                    lambda t, x, y, w: t.cross_entropy(x, y, {"reduction": n, "label_smoothing": smooth, "weight": w}),
                    lambda x, y, w: F.cross_entropy(x, y, w, reduction=r, label_smoothing=smooth))
    ignore = g.pick(None, 0, c - 1, -1)
    y = g.of(labels(g, ts, c, None if ignore is None else ignore), "i64", False)
    if ignore is not None:
        if (y.base == -100).any():
            raise Refused  # Tern leaves -100 out whatever ignore_index says, as its header has it
    g.note(smooth=smooth, ignore=ignore)
    opts = {"reduction": n, "label_smoothing": smooth, "has_ignore_index": ignore is not None, "ignore_index": ignore or 0}
    return Case([g.real(s, -5., 5.), y, w], lambda t, x, y, w: t.cross_entropy(x, y, dict(opts, weight=w)),
                lambda x, y, w: F.cross_entropy(x, y, w, reduction=r, label_smoothing=smooth,
                                                ignore_index=-100 if ignore is None else ignore))


@op("nll_loss")
def _(g):
    s, c, ts = classes(g)
    n, r = reduction(g)
    w = g.maybe(lambda: g.real((c,), 0.1, 2., grad=False), 0.4)
    ignore = g.pick(None, 0, c - 1, -1)
    y = g.of(labels(g, ts, c, ignore), "i64", False)
    if ignore is not None and (y.base == -100).any():
        raise Refused
    g.note(ignore=ignore)
    opts = {"reduction": n, "has_ignore_index": ignore is not None, "ignore_index": ignore or 0}
    return Case([g.real(s, -5., 5.), y, w], lambda t, x, y, w: t.nll_loss(x, y, dict(opts, weight=w)),
                lambda x, y, w: F.nll_loss(x, y, w, reduction=r, ignore_index=-100 if ignore is None else ignore))


@op("multi_margin_loss")
def _(g):
    n, c = g.size(False), g.size(False)  # PyTorch returns what lay in memory as the mean over no samples
    s, ts = ((c,), ()) if g.chance(0.2) else ((n, c), (n,))
    k, r = reduction(g)
    w = g.maybe(lambda: g.real((c,), 0.1, 2., grad=False))
    p, margin = g.pick(1, 2), g.pick(1., 0.5, 2.)
    g.note(p=p, margin=margin)
    return Case([g.real(s, expand=False), g.whole(ts, 0, c - 1, "i64"), w],
                lambda t, x, y, w: t.multi_margin_loss(x, y, p, margin, {"reduction": k, "weight": w}),
                lambda x, y, w: F.multi_margin_loss(x, y, p=p, margin=margin, weight=w, reduction=r))


@op("multilabel_margin_loss")
def _(g):
    n, c = g.size(), g.size(False)
    s = (c,) if g.chance(0.2) else (n or 1, c)
    k, r = reduction(g)
    return Case([g.real(s, expand=False), g.whole(s, -1, c - 1, "i64", expand=False)], lambda t, x, y: t.multilabel_margin_loss(x, y, k),
                lambda x, y: F.multilabel_margin_loss(x, y, reduction=r))


@op("ctc_loss", ("f64", "f32"))
def _(g):
    steps, n, c, most = g.integer(1, 12), g.integer(1, 4), g.integer(2, 6), g.integer(0, 5)
    k, r = reduction(g)
    blank, zero = g.integer(0, c - 1), g.chance(0.5)
    lengths, inputs = g.rng.integers(0, most + 1, n), g.rng.integers(1, steps + 1, n)
    y = g.rng.integers(0, c - 1, (n, most))
    y = y + (y >= blank)
    if not zero:  # PyTorch's gradient of an infinite loss is NaN, Tern's is 0
        lengths = np.minimum(lengths, (inputs + 1) // 2)
    if g.chance(0.4):
        y = np.concatenate([y[i, :lengths[i]] for i in range(n)])
    g.note(blank=blank, lengths=lengths.tolist(), inputs=inputs.tolist(), zero_infinity=zero)
    # the gradient goes through log_softmax: PyTorch's own takes its input's sum of exponentials to be 1
    return Case([g.real((steps, n, c)), g.of(y, "i64", expand=False), g.of(inputs, "i64", expand=False),
                 g.of(lengths, "i64", expand=False)],
                lambda t, x, y, i, l: t.ctc_loss(t.log_softmax(x, -1), y, i, l,
                                                 {"reduction": k, "blank": blank, "zero_infinity": zero}),
                lambda x, y, i, l: F.ctc_loss(F.log_softmax(x, -1).contiguous(), y.contiguous(), i, l, blank=blank, reduction=r, zero_infinity=zero))


@op("margin_ranking_loss")
def _(g):
    s = g.shape()
    n, r = reduction(g)
    margin = g.pick(0., 0.5, 1.)
    g.note(margin=margin)
    return Case([g.real(s), g.real(s), g.of(g.rng.integers(0, 2, s) * 2 - 1, grad=False)],
                lambda t, a, b, y: t.margin_ranking_loss(a, b, y, margin, n),
                lambda a, b, y: F.margin_ranking_loss(a, b, y, margin=margin, reduction=r))


@op("hinge_embedding_loss")
def _(g):
    s = g.shape()
    n, r = reduction(g)
    margin = g.pick(1., 0.5)
    g.note(margin=margin)
    return Case([g.real(s), g.of(g.rng.integers(0, 2, s) * 2 - 1, grad=False)],
                lambda t, x, y: t.hinge_embedding_loss(x, y, margin, n),
                lambda x, y: F.hinge_embedding_loss(x, y, margin=margin, reduction=r))


@op("cosine_embedding_loss")
def _(g):
    n, d = g.size(), g.size(False)
    s, ts = ((d,), ()) if g.chance(0.2) else ((n, d), (n,))
    k, r = reduction(g)
    margin = g.pick(0., 0.3)
    g.note(margin=margin)
    return Case([g.real(s), g.real(s), g.of(g.rng.integers(0, 2, ts) * 2 - 1, grad=False)],
                lambda t, a, b, y: t.cosine_embedding_loss(a, b, y, margin, k),
                lambda a, b, y: F.cosine_embedding_loss(a, b, y, margin=margin, reduction=r))


@op("triplet_margin_loss")
def _(g):
    s = g.shape(1, 3, False)
    n, r = reduction(g)
    margin, p, eps, swap = g.pick(1., 0.2), g.pick(0., 1., 3.), g.pick(0., 1e-3), g.chance(0.5)
    g.note(margin=margin, p=p, eps=eps, swap=swap)
    return Case([g.real(s), g.real(s), g.real(s)],
                lambda t, a, b, c: t.triplet_margin_loss(a, b, c, margin, {"reduction": n, "p": p, "eps": eps, "swap": swap}),
                lambda a, b, c: F.triplet_margin_loss(a, b, c, margin=margin, p=p or 2., eps=eps or 1e-6, swap=swap, reduction=r),
                loosen=2.)


@op("cosine_similarity")
def _(g):
    a, b = g.broadcasts(2)
    full = torch.broadcast_shapes(a, b)
    if not full:
        raise Refused
    dim, eps = g.dim(full), g.pick(1e-8, 2.)
    g.note(dim=dim, eps=eps)
    # PyTorch's gradient where the bound holds is not that of its formula: of the norm in place of the bound
    grad = eps < 1
    return Case([g.real(a, grad=grad, ties=not grad), g.real(b, grad=grad, ties=not grad)],
                lambda t, x, y: t.cosine_similarity(x, y, dim, eps),
                lambda x, y: F.cosine_similarity(x, y, dim=dim, eps=eps), loosen=8.)


def order(g):
    p = g.pick(2., 1., 0., 3., 0.5, float("inf"), 1.5)
    g.note(p=p)
    return p


def differing(g, p, grad=True):
    """Draws for an order: where several differences are the largest, PyTorch gives each of them the whole gradient."""
    if p != float("inf"):
        return lambda s: g.real(s, grad=grad)
    return lambda s: g.real(s, grad=grad and g.dtype in ("f64", "f32"), ties=False, expand=False)


@op("pairwise_distance")
def _(g):
    a, b = g.broadcasts(2)
    if not torch.broadcast_shapes(a, b):
        raise Refused
    p, eps, keep = order(g), g.pick(1e-6, 0., 0.1), g.chance(0.5)
    if not torch.broadcast_shapes(a, b)[-1] and p == float("inf"):
        raise Refused
    g.note(eps=eps, keep=keep)
    make = differing(g, p)
    return Case([make(a), make(b)], lambda t, x, y: t.pairwise_distance(x, y, p, eps, keep),
                lambda x, y: F.pairwise_distance(x, y, p=p, eps=eps, keepdim=keep))


@op("cdist")
def _(g):
    m, (a, b), p = g.size(), g.broadcasts(2, 2), order(g)
    make = differing(g, p)
    return Case([make(a + (g.size(), m)), make(b + (g.size(), m))], lambda t, x, y: t.cdist(x, y, p),
                lambda x, y: torch.cdist(x, y, p=p))


@op("pdist")
def _(g):
    p, n, m = order(g), g.size(), g.size()
    # PyTorch's gradient divides by zero, as integers, where there is no pair or no coordinate
    return Case([differing(g, p, n > 1 and m > 0)((n, m))], lambda t, x: t.pdist(x, p), lambda x: F.pdist(x, p=p))
