"""Writes optim_table.def beside itself: what PyTorch's optimizers come to on a fixed small problem, for
tests/optim_table.c. Lion, LAMB and the paper's form of Adafactor, which PyTorch does not have, are written here in
NumPy from their papers. Run it again only to add cases; the results are part of the repository.

    python3 tests/reference/optimizers.py          (needs PyTorch; made with 2.15 on the CPU)

The problem, of which nothing is stored: element i of all starts at cos(i + 1), and its gradient in step k = 0, 1, ... is
(0.5 + 0.1 (i % 7)) p + sin(1 + 0.7 i + 0.3 k)."""
import math
import os

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
HEAD = f"/* Written by tests/reference/optimizers.py with PyTorch {torch.__version__.split('+')[0]}; not to be edited. */\n"
SHAPES = [(3, 4), (5,), (2, 2, 3), ()]
MATRICES = [(3, 4), (5, 2)]
STEPS = 20


def sizes(shapes):
    return [math.prod(s) for s in shapes]


def start(shapes):
    i = np.arange(sum(sizes(shapes)), dtype=np.float64)
    return [p.reshape(s) for p, s in zip(np.split(np.cos(i + 1), np.cumsum(sizes(shapes))[:-1]), shapes)]


def gradients(params, shapes, k):
    i = np.arange(sum(sizes(shapes)), dtype=np.float64)
    slope, drive = 0.5 + 0.1 * (i % 7), np.sin(1 + 0.7 * i + 0.3 * k)
    cut = np.cumsum(sizes(shapes))[:-1]
    return [a.reshape(s) * p + b.reshape(s)
            for a, b, p, s in zip(np.split(slope, cut), np.split(drive, cut), params, shapes)]


def numbers(params):
    flat = np.concatenate([np.asarray(p).reshape(-1) for p in params])
    return "(const double[]){" + ", ".join(repr(float(v)) for v in flat) + "}"


# ---- PyTorch ---------------------------------------------------------------------------------------------------------

def with_torch(make, shapes, masters=None):
    params = [torch.tensor(p, requires_grad=True) for p in start(shapes)]
    optimizer = make(params)
    after = []
    for k in range(STEPS):
        for p, g in zip(params, gradients([p.detach().numpy() for p in params], shapes, k)):
            p.grad = torch.tensor(g)
        optimizer.step()
        if k in (0, STEPS - 1):
            after.append(numbers([p.detach().numpy() for p in params]))
    return after


# ---- papers ----------------------------------------------------------------------------------------------------------

class Lion:
    """Chen et al., arXiv 2302.06675, algorithm 2."""

    def __init__(self, lr, beta1=0.9, beta2=0.99, decay=0.0):
        self.lr, self.beta1, self.beta2, self.decay, self.m = lr, beta1, beta2, decay, {}

    def step(self, key, p, g, t):
        m = self.m.get(key, np.zeros_like(p))
        c = self.beta1 * m + (1 - self.beta1) * g
        self.m[key] = self.beta2 * m + (1 - self.beta2) * g
        return p - self.lr * (np.sign(c) + self.decay * p)


class Lamb:
    """You et al., arXiv 1904.00962, algorithm 2, with the identity for phi."""

    def __init__(self, lr, beta1=0.9, beta2=0.999, eps=1e-6, decay=0.0):
        self.lr, self.beta1, self.beta2, self.eps, self.decay = lr, beta1, beta2, eps, decay
        self.m, self.v = {}, {}

    def step(self, key, p, g, t):
        m = self.m[key] = self.beta1 * self.m.get(key, 0) + (1 - self.beta1) * g
        v = self.v[key] = self.beta2 * self.v.get(key, 0) + (1 - self.beta2) * g * g
        r = (m / (1 - self.beta1 ** t)) / (np.sqrt(v / (1 - self.beta2 ** t)) + self.eps) + self.decay * p
        size, length = np.linalg.norm(p.reshape(-1)), np.linalg.norm(r.reshape(-1))
        return p - self.lr * (size / length if size > 0 and length > 0 else 1) * r


class Adafactor:
    """Shazeer and Stern, arXiv 1804.04235, algorithms 4 and 5: G^2 + eps1 is factored, V = R C / mean(R), U = G / sqrt(V)
    is clipped to an RMS of d. Relative: the rate is max(eps2, RMS(p)) min(lr, 1 / sqrt(t)); else it is lr."""

    def __init__(self, lr, relative, decay=0.0, beta2_decay=-0.8, eps1=1e-30, eps2=1e-3, d=1.0):
        self.lr, self.relative, self.decay, self.beta2_decay = lr, relative, decay, beta2_decay
        self.eps1, self.eps2, self.d, self.r, self.c, self.v = eps1, eps2, d, {}, {}, {}

    def step(self, key, p, g, t):
        rms = lambda x: math.sqrt(np.mean(x * x))
        beta2 = 1 - t ** self.beta2_decay
        square = g * g + self.eps1
        alpha = max(self.eps2, rms(p)) * min(self.lr, 1 / math.sqrt(t)) if self.relative else self.lr
        if p.ndim >= 2:
            r = self.r[key] = beta2 * self.r.get(key, 0) + (1 - beta2) * square.mean(-1, keepdims=True)
            c = self.c[key] = beta2 * self.c.get(key, 0) + (1 - beta2) * square.mean(-2, keepdims=True)
            v = r * c / r.mean(-2, keepdims=True)
        else:
            v = self.v[key] = beta2 * self.v.get(key, 0) + (1 - beta2) * square
        u = g / np.sqrt(v)
        return p * (1 - self.lr * self.decay) - alpha * u / max(1, rms(u) / self.d)


def with_paper(make, shapes):
    params, rule, after = start(shapes), make(), []
    for k in range(STEPS):
        grads = gradients(params, shapes, k)
        params = [rule.step(i, p, g, k + 1) for i, (p, g) in enumerate(zip(params, grads))]
        if k in (0, STEPS - 1):
            after.append(numbers(params))
    return after


# ---- Muon without its rounding to bfloat16 ---------------------------------------------------------------------------

class Plain:
    """torch with bfloat16 replaced, so that torch.optim's own text of Muon computes in float64."""
    bfloat16 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


torch.optim._muon.torch = Plain()


class MuonAndAdamW:
    """torch.optim.Muon for matrices, AdamW for the rest."""

    def __init__(self, params, muon, adamw):
        self.parts = [torch.optim.Muon([p for p in params if p.ndim == 2], **muon),
                      torch.optim.AdamW([p for p in params if p.ndim != 2], **adamw)]

    def step(self):
        for part in self.parts:
            part.step()


# ---- L-BFGS, on a mild form of Rosenbrock's function of all elements in a row -------------------------------------------------------

def with_closure(make, sign):
    params = [torch.tensor(p, requires_grad=True) for p in start(SHAPES)]
    optimizer = make(params)

    def closure():
        optimizer.zero_grad()
        x = torch.cat([p.reshape(-1) for p in params])
        loss = sign * ((x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        return loss

    after, losses = [], []
    for k in range(STEPS):
        losses.append(float(optimizer.step(closure).detach()))
        if k in (0, STEPS - 1):
            after.append(numbers([p.detach().numpy() for p in params]))
    state = optimizer.state[optimizer._params[0]]
    return after, losses, state["n_iter"], state["func_evals"]


CLOSURES = [
    ("lbfgs, strong Wolfe", "1", "{.strong_wolfe = true, .max_iter = 1}", 1,
     lambda p: torch.optim.LBFGS(p, 1, 1, line_search_fn="strong_wolfe")),
    ("lbfgs, short memory, maximize", "0.8", "{.strong_wolfe = true, .max_iter = 2, .max_eval = 9, .history = 3, .maximize = true}", -1,
     lambda p: torch.optim.LBFGS(p, 0.8, 2, 9, history_size=3, line_search_fn="strong_wolfe", maximize=True)),
    ("lbfgs, fixed steps", "0.2", "{.max_iter = 2, .history = 5}", 1, lambda p: torch.optim.LBFGS(p, 0.2, 2, history_size=5)),
    ("lbfgs, to the end", "1", "{.strong_wolfe = true}", 1, lambda p: torch.optim.LBFGS(p, 1, line_search_fn="strong_wolfe")),
]


def closures():
    rows = []
    for name, lr, options, sign, make in CLOSURES:
        after, losses, n_iter, evals = with_closure(make, sign)
        print(name, losses[0], losses[-1], n_iter, evals)
        rows.append('{"%s", %s, %d, %s, %d, %d,\n %s,\n %s,\n %s},\n' % (
            name, lr, sign, options, n_iter, evals, "(const double[]){" + ", ".join(map(repr, losses)) + "}", *after))
    return "static const closure_case closure_cases[] = {\n" + "".join(rows) + "};\n"


# ---- cases -----------------------------------------------------------------------------------------------------------

O = torch.optim
CASES = [
    # name, what Tern calls, values
    ("sgd, maximize", "sgd", "0.05", "{.momentum = 0.9, .weight_decay = 0.02, .maximize = true}",
     lambda p: O.SGD(p, 0.05, momentum=0.9, weight_decay=0.02, maximize=True)),
    ("sgd, nesterov", "sgd", "0.05", "{.momentum = 0.9, .nesterov = true, .weight_decay = 0.02}",
     lambda p: O.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=0.02)),
    ("adam", "adam", "0.02", "{0}", lambda p: O.Adam(p, 0.02)),
    ("adam, amsgrad", "adam", "0.02", "{.beta2 = 0.9, .eps = 1e-4, .weight_decay = 0.1, .amsgrad = true}",
     lambda p: O.Adam(p, 0.02, (0.9, 0.9), 1e-4, 0.1, amsgrad=True)),
    ("adam, maximize", "adam", "0.02", "{.maximize = true, .weight_decay = 0.1}",
     lambda p: O.Adam(p, 0.02, weight_decay=0.1, maximize=True)),
    ("adamw", "adamw", "0.02", "{.weight_decay = 0.2}", lambda p: O.AdamW(p, 0.02, weight_decay=0.2)),
    ("adamw, amsgrad, maximize", "adamw", "0.02", "{.beta2 = 0.9, .amsgrad = true, .maximize = true}",
     lambda p: O.AdamW(p, 0.02, (0.9, 0.9), amsgrad=True, maximize=True)),
    ("adamax", "adamax", "0.03", "{0}", lambda p: O.Adamax(p, 0.03)),
    ("adamax, settings", "adamax", "0.03", "{.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1, .maximize = true}",
     lambda p: O.Adamax(p, 0.03, (0.8, 0.9), 1e-3, 0.1, maximize=True)),
    ("nadam", "nadam", "0.02", "{0}", lambda p: O.NAdam(p, 0.02)),
    ("nadam, settings", "nadam", "0.02", "{.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1, .momentum_decay = 0.2}",
     lambda p: O.NAdam(p, 0.02, (0.8, 0.9), 1e-3, 0.1, 0.2)),
    ("nadam, decoupled, maximize", "nadam", "0.02", "{.weight_decay = 0.1, .decoupled = true, .maximize = true}",
     lambda p: O.NAdam(p, 0.02, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    ("radam", "radam", "0.02", "{0}", lambda p: O.RAdam(p, 0.02)),
    ("radam, settings", "radam", "0.02", "{.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1}",
     lambda p: O.RAdam(p, 0.02, (0.8, 0.9), 1e-3, 0.1)),
    ("radam, decoupled, maximize", "radam", "0.02", "{.weight_decay = 0.1, .decoupled = true, .maximize = true}",
     lambda p: O.RAdam(p, 0.02, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    ("rmsprop", "rmsprop", "0.01", "{0}", lambda p: O.RMSprop(p, 0.01)),
    ("rmsprop, momentum", "rmsprop", "0.01", "{.alpha = 0.9, .eps = 1e-4, .weight_decay = 0.1, .momentum = 0.7}",
     lambda p: O.RMSprop(p, 0.01, 0.9, 1e-4, 0.1, 0.7)),
    ("rmsprop, centered", "rmsprop", "0.01", "{.centered = true}", lambda p: O.RMSprop(p, 0.01, centered=True)),
    ("rmsprop, both, maximize", "rmsprop", "0.01", "{.momentum = 0.7, .centered = true, .maximize = true}",
     lambda p: O.RMSprop(p, 0.01, momentum=0.7, centered=True, maximize=True)),
    ("adagrad", "adagrad", "0.1", "{0}", lambda p: O.Adagrad(p, 0.1)),
    ("adagrad, settings", "adagrad", "0.1",
     "{.lr_decay = 0.05, .weight_decay = 0.1, .initial_accumulator = 0.3, .eps = 1e-3, .maximize = true}",
     lambda p: O.Adagrad(p, 0.1, 0.05, 0.1, 0.3, 1e-3, maximize=True)),
    ("adadelta", "adadelta", "1", "{0}", lambda p: O.Adadelta(p, 1)),
    ("adadelta, settings", "adadelta", "0.7", "{.rho = 0.8, .eps = 1e-3, .weight_decay = 0.1, .maximize = true}",
     lambda p: O.Adadelta(p, 0.7, 0.8, 1e-3, 0.1, maximize=True)),
    ("rprop", "rprop", "0.01", "{0}", lambda p: O.Rprop(p, 0.01)),
    ("rprop, settings", "rprop", "0.01", "{.shorter = 0.3, .longer = 1.5, .least = 1e-3, .most = 0.05, .maximize = true}",
     lambda p: O.Rprop(p, 0.01, (0.3, 1.5), (1e-3, 0.05), maximize=True)),
    ("asgd", "asgd", "0.05", "{0}", lambda p: O.ASGD(p, 0.05)),
    ("asgd, settings", "asgd", "0.05", "{.lambd = 0.1, .alpha = 0.5, .t0 = 4, .weight_decay = 0.1, .maximize = true}",
     lambda p: O.ASGD(p, 0.05, 0.1, 0.5, 4, 0.1, maximize=True)),
    ("lion", "lion", "0.01", "{0}", lambda: Lion(0.01)),
    ("lion, settings", "lion", "0.01", "{.beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.3}", lambda: Lion(0.01, 0.8, 0.9, 0.3)),
    ("lamb", "lamb", "0.02", "{0}", lambda: Lamb(0.02)),
    ("lamb, settings", "lamb", "0.02", "{.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1}",
     lambda: Lamb(0.02, 0.8, 0.9, 1e-3, 0.1)),
    ("adafactor", "adafactor", "0.05", "{0}", lambda p: O.Adafactor(p, 0.05)),
    ("adafactor, settings", "adafactor", "0.3",
     "{.beta2_decay = -0.6, .eps1 = 1e-2, .eps2 = 0.1, .clip = 1.3, .weight_decay = 0.1, .maximize = true}",
     lambda p: O.Adafactor(p, 0.3, -0.6, (1e-2, 0.1), 1.3, 0.1, maximize=True)),
    ("adafactor, paper", "adafactor", "0.05", "{.paper = true}", lambda: Adafactor(0.05, True)),
    ("adafactor, paper, fixed step", "adafactor", "0.02",
     "{.paper = true, .fixed_step = true, .weight_decay = 0.1, .clip = 0.5, .eps1 = 1e-3}",
     lambda: Adafactor(0.02, False, 0.1, eps1=1e-3, d=0.5)),
    ("muon", "muon", "0.02", "{0}", lambda p: O.Muon(p, 0.02), MATRICES),
    ("muon, settings", "muon", "0.02",
     "{.momentum = 0.8, .plain = true, .weight_decay = 0.3, .adjust = TERN_MUON_MATCH_RMS, .ns_steps = 3}",
     lambda p: O.Muon(p, 0.02, 0.3, 0.8, nesterov=False, ns_steps=3, adjust_lr_fn="match_rms_adamw"), MATRICES),
    ("muon, spectral", "muon", "0.02", "{.adjust = TERN_MUON_SPECTRAL, .ns_a = 2, .ns_b = -1.5, .ns_c = 0.5}",
     lambda p: O.Muon(p, 0.02, ns_coefficients=(2, -1.5, 0.5), adjust_lr_fn="spectral_unclamped"), MATRICES),
    ("muon and adamw", "muon", "0.02", "{.adamw_lr = 0.01, .weight_decay = 0.2}",
     lambda p: MuonAndAdamW(p, dict(lr=0.02, weight_decay=0.2), dict(lr=0.01, weight_decay=0.2))),
]


def row(number, name, function, lr, options, make, shapes):
    papers = make.__code__.co_argcount == 0
    after = with_paper(make, shapes) if papers else with_torch(make, shapes)
    maker = (f"static tern_optim *table_make_{number}(tern_module *m) {{ return tern_{function}_new(m, {lr}, "
             f"(tern_{function}_opts){options}); }}\n")
    return maker, '{"%s", table_make_%d, %s,\n %s,\n %s},\n' % (
        name, number, "true" if shapes is MATRICES else "false", *after)


def table():
    rows = [row(i, *c, *([] if len(c) == 6 else [SHAPES])) for i, c in enumerate(CASES)]
    return (HEAD + "".join(r[0] for r in rows) + "static const table_case table_cases[] = {\n" + "".join(r[1] for r in rows)
            + "};\n" + closures())


with open(os.path.join(HERE, "optim_table.def"), "w") as f:
    f.write(table())
