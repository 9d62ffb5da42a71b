"""core/linalg.h. Decompositions are compared by what does not depend on signs: reconstructions and absolute values."""
import numpy as np
import torch
from api import Out
from pytorch_random import Case, Refused, op

WIDE = ("f64", "f32")


def product(name, shapes, dtypes=("f64", "f32", "f16", "bf16"), reference=None, args=lambda g: (), loosen=2.):
    @op(name, dtypes)
    def draw(g):
        a = args(g)
        g.note(args=a)
        return Case([g.real(s) for s in shapes(g)], lambda t, *x: getattr(t, name)(*x, *a),
                    lambda *x: (reference or getattr(torch, name))(*x, *a), loosen=loosen)


def sizes(g, n):
    return [g.size() for _ in range(n)]


def mats(g):
    m, k, n = sizes(g, 3)
    if g.chance(0.2):
        a, b = g.pick(((k,), (k,)), ((k,), (k, n)), ((m, k), (k,)))
        return a, b
    a, b = g.broadcasts(2, 2)
    return a + (m, k), b + (k, n)


product("matmul", mats)
product("mm", lambda g: (lambda m, k, n: ((m, k), (k, n)))(*sizes(g, 3)))
product("bmm", lambda g: (lambda b, m, k, n: ((b, m, k), (b, k, n)))(*sizes(g, 4)))
product("mv", lambda g: (lambda m, k: ((m, k), (k,)))(*sizes(g, 2)))
product("dot", lambda g: (lambda k: ((k,), (k,)))(*sizes(g, 1)))
product("outer", lambda g: ((g.size(),), (g.size(),)))
product("inner", lambda g: (lambda k: (g.shape(0, 2) + (k,), g.shape(0, 2) + (k,)))(g.size(False)))
product("vecdot", lambda g: (lambda s, k: (s[0] + (k,), s[1] + (k,)))(g.broadcasts(2, 2), g.size()),
        reference=lambda a, b, d: torch.linalg.vecdot(a, b, dim=d), args=lambda g: (-1,))
product("linear", lambda g: (lambda i, o: (g.shape(0, 3) + (i,), (o, i), (o,)))(*sizes(g, 2)), reference=torch.nn.functional.linear)


def added(name, shapes):
    @op(name)
    def draw(g):
        out, a, b = shapes(g)
        c = tuple(1 if g.chance(0.2) else k for k in out[g.integer(0, len(out)) if g.chance(0.2) else 0:])
        beta, alpha = g.pick(1., 0., 0.5), g.pick(1., -2., 0.5)
        g.note(beta=beta, alpha=alpha)
        return Case([g.real(c), g.real(a), g.real(b)], lambda t, c, a, b: getattr(t, name)(c, a, b, beta, alpha),
                    lambda c, a, b: getattr(torch, name)(c, a, b, beta=beta, alpha=alpha), loosen=2.)


added("addmm", lambda g: (lambda m, k, n: ((m, n), (m, k), (k, n)))(*sizes(g, 3)))
added("baddbmm", lambda g: (lambda b, m, k, n: ((b, m, n), (b, m, k), (b, k, n)))(*sizes(g, 4)))
added("addmv", lambda g: (lambda m, k: ((m,), (m, k), (k,)))(*sizes(g, 2)))


# in half precision the gradient of a 0-dim factor is a sum of rounded products
@op("tensordot", WIDE)
def _(g):
    s, n = g.shape(0, 3), g.integer(0, 2)
    shared = [g.size() for _ in range(n)]
    a, b = list(s) + shared, shared + list(g.shape(0, 3))
    if g.chance(0.5):
        return Case([g.real(tuple(a)), g.real(tuple(b))], lambda t, x, y: t.tensordot(x, y, None, None, n),
                    lambda x, y: torch.tensordot(x, y, n), loosen=2.)
    p, q = g.rng.permutation(len(a)), g.rng.permutation(len(b))
    da = [int(np.where(p == len(s) + i)[0][0]) for i in range(n)]
    db = [int(np.where(q == i)[0][0]) for i in range(n)]
    g.note(dims=(da, db))
    return Case([g.real(tuple(a[i] for i in p)), g.real(tuple(b[i] for i in q))],
                lambda t, x, y: t.tensordot(x, y, da, db, n), lambda x, y: torch.tensordot(x, y, (da, db)), loosen=2.)


@op("einsum")
def _(g):
    letters = {c: g.size(False) for c in "abcde"}
    terms = ["".join(g.rng.choice(list("abcde"), g.integer(0 if g.chance(0.1) else 1, 3), replace=g.chance(0.15)))
             for _ in range(g.integer(1, 3))]
    used = sorted(set("".join(terms)))
    out = "".join(g.rng.permutation(used)[:g.integer(0, len(used))]) if used else ""
    lead = [()] * len(terms)
    if g.chance(0.25):
        lead = g.broadcasts(len(terms), 2, False)
        text = ",".join("..." + k for k in terms) + "->..." + out
    else:
        text = ",".join(terms) + ("->" + out if g.chance(0.8) else "")
    g.note(equation=text)
    n = len(terms)
    return Case([g.real(a + tuple(letters[c] for c in k)) for a, k in zip(lead, terms)],
                lambda t, *x: t.einsum(text, list(x), n), lambda *x: torch.einsum(text, *x), loosen=4.)


@op("kron")
def _(g):
    return Case([g.real(g.shape(0, 3)), g.real(g.shape(0, 3))], lambda t, a, b: t.kron(a, b), torch.kron)


@op("cross")
def _(g):
    s = list(g.shape(1, 3))
    d = g.dim(s)
    s[d] = 3
    b = [1 if k != d % len(s) and g.chance(0.2) else n for k, n in enumerate(s)]
    return Case([g.real(tuple(s)), g.real(tuple(b))], lambda t, x, y: t.cross(x, y, d),
                lambda x, y: torch.linalg.cross(x, y, dim=d))


@op("multi_dot")
def _(g):
    n = g.integer(2, 5)
    k = [g.size(False) for _ in range(n + 1)]
    s = [(k[i], k[i + 1]) for i in range(n)]
    if g.chance(0.3):
        s[0] = s[0][1:]
    if g.chance(0.3):
        s[-1] = s[-1][:1]
    return Case([g.real(x) for x in s], lambda t, *x: t.multi_dot(list(x), n), lambda *x: torch.linalg.multi_dot(x), loosen=16.)


def batch(g):
    return g.shape(0, 2, g.chance(0.1))


def square(g, near=0.):
    """Well-conditioned: random, with `near` added to the diagonal."""
    n = g.integer(1, 5)
    v = g.rng.uniform(-1, 1, batch(g) + (n, n)) + near * np.eye(n)
    return v


def definite(g):
    v = square(g)
    return v @ v.swapaxes(-1, -2) + np.eye(v.shape[-1])


def solved(name, inputs, tern, reference, loosen=32.):
    @op(name, WIDE)
    def draw(g):
        return Case(inputs(g), lambda t, *x: tern(t, g, *x), lambda *x: reference(g, *x), loosen=loosen)


def flag(g, name):
    if name not in g.notes:
        g.note(**{name: g.chance(0.5)})
    return g.notes[name]


@op("matrix_power", WIDE)
def _(g):
    n = g.integer(-3, 5)
    g.note(n=n)
    return Case([g.of(square(g, 3.), expand=False)], lambda t, x: t.matrix_power(x, n),
                lambda x: torch.linalg.matrix_power(x, n), loosen=32.)


@op("trace")
def _(g):
    s = g.shape(0, 2) + (g.size(), g.size())
    return Case([g.any(s)], lambda t, x: t.trace(x), lambda x: torch.diagonal(x, 0, -2, -1).sum(-1))


def symmetric(x):
    return (x + x.mT) / 2


def tern_symmetric(t, x):
    return t.mul_scalar(t.add(x, t.transpose(x, -1, -2)), 0.5)


solved("cholesky", lambda g: [g.of(definite(g), expand=False)], lambda t, g, x: t.cholesky(tern_symmetric(t, x), flag(g, "upper")),
       lambda g, x: torch.linalg.cholesky(symmetric(x), upper=flag(g, "upper")))


def with_right(g, v, vector=False, near=None):
    b = v.shape[:-2] if not vector or g.chance(0.5) else v.shape[:-2]
    lead = tuple(1 if g.chance(0.2) else k for k in b)
    return [g.of(v, expand=False), g.real(lead + (v.shape[-1], g.size(False)))]


solved("solve", lambda g: with_right(g, square(g, 3.)), lambda t, g, a, b: t.solve(a, b), lambda g, a, b: torch.linalg.solve(a, b))
solved("inverse", lambda g: [g.of(square(g, 3.), expand=False)], lambda t, g, a: t.inverse(a), lambda g, a: torch.linalg.inv(a))
solved("det", lambda g: [g.of(square(g), expand=False)], lambda t, g, a: t.det(a), lambda g, a: torch.linalg.det(a))


def slogdet(t, g, a):
    o = Out()
    return [t.slogdet(a, o), o[0]]


solved("slogdet", lambda g: [g.of(square(g, 2.), expand=False)], slogdet, lambda g, a: list(torch.linalg.slogdet(a))[::-1])
solved("cholesky_solve", lambda g: with_right(g, square(g, 3.)),
       lambda t, g, a, b: t.cholesky_solve(b, t.triu(a, 0) if flag(g, "upper") else t.tril(a, 0), flag(g, "upper")),
       lambda g, a, b: torch.cholesky_solve(b, a.triu() if flag(g, "upper") else a.tril(), flag(g, "upper")))
solved("cholesky_inverse", lambda g: [g.of(square(g, 3.), expand=False)],
       lambda t, g, a: t.cholesky_inverse(t.triu(a, 0) if flag(g, "upper") else t.tril(a, 0), flag(g, "upper")),
       lambda g, a: torch.cholesky_inverse(a.triu() if flag(g, "upper") else a.tril(), flag(g, "upper")))


@op("triangular_solve", WIDE)
def _(g):
    upper, transposed, unit, right = (g.chance(0.5) for _ in range(4))
    v = square(g, 3.)
    lead = tuple(1 if g.chance(0.2) else k for k in v.shape[:-2])
    k = g.size(False)
    b = g.real(lead + ((k, v.shape[-1]) if right else (v.shape[-1], k)))
    g.note(upper=upper, transposed=transposed, unitriangular=unit, right=right)

    def reference(a, b):
        a = a.mT if transposed else a
        return torch.linalg.solve_triangular(a, b, upper=upper != transposed, left=not right, unitriangular=unit)
    return Case([g.of(v, expand=False), b],
                lambda t, a, b: t.triangular_solve(a, b, {"upper": upper, "transposed": transposed, "unitriangular": unit, "right": right}),
                reference, loosen=32.)


def tall(g, wide=True):
    """[..., M, N] of full rank, its singular values apart."""
    m, n = g.integer(1, 5), g.integer(1, 5)
    if not wide and m < n:
        m, n = n, m
    u, v = np.linalg.qr(g.rng.standard_normal(batch(g) + (m, m)))[0], np.linalg.qr(g.rng.standard_normal((n, n)))[0]
    k = min(m, n)
    return (u[..., :k] * (1 + 0.8 * np.arange(k))) @ v[..., :k, :]


@op("lstsq", WIDE)
def _(g):
    v = tall(g)
    b = g.real(v.shape[:-1] + (g.size(False),), expand=False)
    # PyTorch has no gradient for a wide matrix by gelsy; pinv says the same
    return Case([g.of(v, expand=False), b], lambda t, a, b: t.lstsq(a, b), lambda a, b: torch.linalg.pinv(a) @ b, loosen=64.)


@op("qr", WIDE)
def _(g):
    v = tall(g)
    complete = g.chance(0.3)
    g.note(complete=complete)

    def tern(t, a):
        o = Out()
        q = t.qr(a, complete, o)
        return [t.matmul(q, o[0]), t.abs(q), t.abs(o[0])]

    def reference(a):
        q, r = torch.linalg.qr(a, "complete" if complete else "reduced")
        return [q @ r, q.abs(), r.abs()]
    grad = not complete and v.shape[-2] >= v.shape[-1]
    return Case([g.of(v, grad=grad, expand=False)], tern, reference, loosen=64.)


@op("svd", WIDE)
def _(g):
    v = tall(g)

    def tern(t, a):
        u, vh = Out(), Out()
        s = t.svd(a, False, u, vh)
        return [s, t.square(u[0]), t.square(vh[0]), t.matmul(t.mul(u[0], t.unsqueeze(s, -2)), vh[0])]

    def reference(a):
        u, s, vh = torch.linalg.svd(a, full_matrices=False)
        return [s, u.square(), vh.square(), (u * s.unsqueeze(-2)) @ vh]
    return Case([g.of(v, expand=False)], tern, reference, loosen=64.)


@op("svdvals", WIDE)
def _(g):
    return Case([g.of(tall(g), expand=False)], lambda t, a: t.svdvals(a), torch.linalg.svdvals, loosen=64.)


def spaced(g):
    n = g.integer(1, 5)
    q = np.linalg.qr(g.rng.standard_normal(batch(g) + (n, n)))[0]
    return (q * (np.arange(n) * 0.9 - 1.3)) @ q.swapaxes(-1, -2)


@op("eigh", WIDE)
def _(g):
    upper = g.chance(0.5)

    def tern(t, a):
        v = Out()
        a = tern_symmetric(t, a)
        w = t.eigh(a, upper, v)
        return [w, t.square(v[0]), t.matmul(t.mul(v[0], t.unsqueeze(w, -2)), t.transpose(v[0], -1, -2))]

    def reference(a):
        w, v = torch.linalg.eigh(symmetric(a), "U" if upper else "L")
        return [w, v.square(), (v * w.unsqueeze(-2)) @ v.mT]
    return Case([g.of(spaced(g), expand=False)], tern, reference, loosen=64.)


@op("eigvalsh", WIDE)
def _(g):
    upper = g.chance(0.5)
    return Case([g.of(spaced(g), expand=False)], lambda t, a: t.eigvalsh(tern_symmetric(t, a), upper),
                lambda a: torch.linalg.eigvalsh(symmetric(a), "U" if upper else "L"), loosen=64.)


@op("pinv", WIDE)
def _(g):
    return Case([g.of(tall(g), expand=False)], lambda t, a: t.pinv(a, 0.), torch.linalg.pinv, loosen=64.)


@op("matrix_rank", WIDE)
def _(g):
    v = tall(g)
    if g.chance(0.5):
        v[..., 0, :] = 0
    atol, rtol = g.pick((0., 0.), (1.2, 0.), (0., 0.45))
    g.note(atol=atol, rtol=rtol)
    more = {k: n for k, n in (("atol", atol), ("rtol", rtol)) if n}
    return Case([g.of(v, expand=False)], lambda t, a: t.matrix_rank(a, atol, rtol), lambda a: torch.linalg.matrix_rank(a, **more))


KINDS = {"FRO": "fro", "NUC": "nuc", "ONE": 1, "INF": float("inf"), "TWO": 2, "MINUS_ONE": -1, "MINUS_INF": -float("inf"),
         "MINUS_TWO": -2}


@op("matrix_norm", WIDE)
def _(g):
    kind, keep = g.pick(*KINDS), g.chance(0.5)
    g.note(kind=kind, keepdim=keep)
    return Case([g.of(tall(g), expand=False)], lambda t, a: t.matrix_norm(a, g.enum("TERN_NORM_" + kind), keep),
                lambda a: torch.linalg.matrix_norm(a, KINDS[kind], keepdim=keep), loosen=64.)


@op("cond", WIDE)
def _(g):
    kind = g.pick(*KINDS)
    g.note(kind=kind)
    v = tall(g) if kind.endswith("TWO") else square(g, 3.)
    def reference(a):  # linalg.cond's own gradient fails: it changes the inverse in place
        if kind.endswith("TWO"):
            return torch.linalg.cond(a, KINDS[kind])
        return torch.linalg.matrix_norm(a, KINDS[kind]) * torch.linalg.matrix_norm(torch.linalg.inv(a), KINDS[kind])
    return Case([g.of(v, expand=False)], lambda t, a: t.cond(a, g.enum("TERN_NORM_" + kind)), reference, loosen=64.)


@op("matrix_exp", WIDE)
def _(g):
    return Case([g.of(square(g) * g.pick(0.1, 1., 3.), expand=False)], lambda t, a: t.matrix_exp(a), torch.linalg.matrix_exp,
                loosen=64.)
