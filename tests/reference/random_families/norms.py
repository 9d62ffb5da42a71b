"""core/norm.h."""
import torch
import torch.nn.functional as F
from pytorch_random import Case, left_out, op


def channels(g, rest=(0, 3), empty=True):
    """[N, C, ...] with more than one value a channel."""
    s = (g.size(empty) if g.chance(0.9) else 1, g.size(False)) + tuple(g.size(False) for _ in range(g.integer(*rest)))
    return s


def affine(g, shape):
    return g.maybe(lambda: g.real(shape, 0.2, 2.)), g.maybe(lambda: g.real(shape))


def spread(g, shape, **more):
    """Values whose variance is well above eps, so that f32 and f16 keep their digits."""
    return g.real(shape, ties=False, expand=False, **more)


@op("batch_norm", ("f64", "f32"))
def _(g):
    s = channels(g, empty=False)
    if s[0] * int(torch.tensor(s[2:]).prod()) < 3:
        s = (3,) + s[1:]
    training = g.chance(0.6)
    w, b = affine(g, s[1:2])
    running = g.chance(0.5) or not training
    m = g.real(s[1:2], grad=False) if running else None
    v = g.real(s[1:2], 0.2, 2., grad=False) if running else None
    momentum, eps = g.pick(0., 0.3, 1.), g.pick(0., 1e-3)
    g.note(training=training, momentum=momentum, eps=eps)

    def tern(t, x, w, b, m, v):
        m, v = (t.clone(m), t.clone(v)) if m else (None, None)
        y = t.batch_norm(x, w, b, m, v, {"training": training, "momentum": momentum, "eps": eps})
        return [y, m, v] if m else y

    def reference(x, w, b, m, v):
        m, v = (m.clone(), v.clone()) if m is not None else (None, None)
        # PyTorch's gradients are wrong for a strided weight, and for an x whose channels lie densest
        x, w = x.contiguous(), None if w is None else w.contiguous()
        y = F.batch_norm(x, m, v, w, b, training, momentum or 0.1, eps or 1e-5)
        return [y, m, v] if m is not None else y
    return Case([spread(g, s), w, b, m, v], tern, reference)


@op("instance_norm", ("f64", "f32"))
def _(g):
    s = channels(g, (1, 3), False)
    if int(torch.tensor(s[2:]).prod()) < 3:
        s = s[:2] + (3,) + s[3:]
    use = g.chance(0.4)
    w, b = affine(g, s[1:2])
    running = g.chance(0.5) or use
    m = g.real(s[1:2], grad=False) if running else None
    v = g.real(s[1:2], 0.2, 2., grad=False) if running else None
    momentum, eps = g.pick(0., 0.3), g.pick(0., 1e-3)
    g.note(use_running=use, momentum=momentum, eps=eps)

    def tern(t, x, w, b, m, v):
        m, v = (t.clone(m), t.clone(v)) if m else (None, None)
        y = t.instance_norm(x, w, b, m, v, {"use_running": use, "momentum": momentum, "eps": eps})
        return [y, m, v] if m else y

    def reference(x, w, b, m, v):
        m, v = (m.clone(), v.clone()) if m is not None else (None, None)
        y = F.instance_norm(x, m, v, w, b, not use, momentum or 0.1, eps or 1e-5)
        return [y, m, v] if m is not None else y
    return Case([spread(g, s), w, b, m, v], tern, reference)


@op("layer_norm")
def _(g):
    s = g.shape(1, 4) if g.chance(0.5) else g.shape(0, 2) + (g.integer(8, 40),)
    n = g.integer(1, len(s))
    w, b = affine(g, s[-n:])
    eps = g.pick(0., 1e-3)
    g.note(n_dims=n, eps=eps)
    return Case([spread(g, s), w, b], lambda t, x, w, b: t.layer_norm(x, n, w, b, eps),
                lambda x, w, b: F.layer_norm(x, s[-n:], w, b, eps or 1e-5))


@op("rms_norm")
def _(g):
    s = g.shape(1, 4) if g.chance(0.5) else g.shape(0, 2) + (g.integer(8, 40),)
    n, eps = g.integer(1, len(s)), g.pick(0., 1e-2)
    w = affine(g, s[-n:])[0]
    g.note(n_dims=n, eps=eps)
    own = torch.finfo(torch.float64 if g.dtype == "f64" else torch.float32).eps
    return Case([spread(g, s), w], lambda t, x, w: t.rms_norm(x, n, w, eps),
                lambda x, w: F.rms_norm(x, s[-n:], w, eps or own), loosen=4.)


@op("group_norm")
def _(g):
    groups, each = g.pick(1, 2, 3), g.pick(1, 2, 4)
    s = (g.size(), groups * each) + tuple(g.size(False) for _ in range(g.integer(0, 3)))
    w, b = affine(g, s[1:2])
    eps = g.pick(0., 1e-3)
    g.note(groups=groups, eps=eps)
    if each * int(torch.tensor(s[2:]).prod()) < 3:
        s = s[:2] + (3,) * max(1, len(s) - 2)  # PyTorch refuses groups of one value; of two, the gradient cancels
    return Case([spread(g, s), w, b], lambda t, x, w, b: t.group_norm(x, groups, w, b, eps),
                lambda x, w, b: F.group_norm(x, groups, w, b, eps or 1e-5), loosen=4.)


@op("local_response_norm")
def _(g):
    s = channels(g, (1, 3))
    size, alpha, beta, k = g.integer(1, 6), g.pick(0., 0.5), g.pick(0., 1.5), g.pick(0., 2.)
    g.note(size=size, alpha=alpha, beta=beta, k=k)
    return Case([g.real(s)], lambda t, x: t.local_response_norm(x, size, {"alpha": alpha, "beta": beta, "k": k}),
                lambda x: F.local_response_norm(x, size, alpha or 1e-4, beta or 0.75, k or 1.))


@op("normalize")
def _(g):
    s = g.shape(1, 4)
    dim, p, eps = g.dim(s), g.pick(0., 1., 3., float("inf")), g.pick(0., 0.5)
    g.note(dim=dim, p=p, eps=eps)
    # the gradient of a single number is 0: in half precision the difference of two roundings
    x = g.real(s, 0.2, 3., s[dim] != 1 or g.dtype in ("f64", "f32"), ties=False, expand=False)
    return Case([x], lambda t, x: t.normalize(x, dim, {"p": p, "eps": eps}),
                lambda x: F.normalize(x, p or 2., dim, eps or 1e-12))


def along(name, reference):
    @op(name)
    def draw(g):
        s = g.shape(1, 4) if g.chance(0.6) else g.shape(0, 2) + (g.integer(8, 70),)
        dim = g.dim(s)
        g.note(dim=dim)
        return Case([g.real(s, -8., 8.)], lambda t, x: getattr(t, name)(x, dim), lambda x: reference(x, dim))


along("softmax", torch.softmax)
along("log_softmax", torch.log_softmax)
along("softmin", lambda x, d: F.softmin(x, dim=d))


@op("dropout")
def _(g):
    p = g.pick(0., 1.)  # what no draw decides
    g.note(p=p)
    return Case([g.real(g.shape())], lambda t, x: t.dropout(x, p), lambda x: F.dropout(x, p))


left_out("dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout gumbel_softmax",
         "they draw random numbers, and the two libraries' streams differ by design")
