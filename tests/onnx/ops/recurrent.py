"""RNN, GRU, LSTM: by Tern's ops of these names; what they do not have, step by step."""
import numpy as np

from . import Excluded, op

ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 2, 3, 1]}  # PyTorch's gates by their places in ONNX


class Layer:
    """One node's inputs: x [T, N, I], states [directions, N, H] and their sizes."""
    def __init__(self, t, n):
        self.t, self.n, self.hidden = t, n, n.attr("hidden_size")
        self.batch_first, self.direction = bool(n.attr("layout", 0)), n.attr("direction", "forward")
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.x = self.turned(n.x[0])
        self.steps, self.batch = t.shape(self.x)[:2]
        self.dtype = {"dtype": t.dtype_of(self.x)}
        self.states = [self.turned(n.at(i)) if n.at(i) is not None
                       else t.zeros((self.directions, self.batch, self.hidden), self.dtype)
                       for i in ([5, 6] if n.type == "LSTM" else [5])]
        lengths = n.ints(4) if n.at(4) is not None else None
        self.lengths = lengths if lengths and any(k != self.steps for k in lengths) else None
        self.gates = len(ORDER[n.type])
        if n.attr("clip") is not None:
            raise Excluded(f"{n.type} with clipped gates")
        if n.attr("input_forget", 0):
            raise Excluded("LSTM with one gate for input and forgetting")

    def turned(self, x):
        return self.t.transpose(x, 0, 1) if self.batch_first else x

    def weights(self, d):
        """w_ih [G H, I], w_hh [G H, H], b_ih [G H], b_hh [G H] of direction d, gates in ONNX's order."""
        t, n, size = self.t, self.n, self.gates * self.hidden
        if n.at(3) is None:
            return [t.select(n.x[1], 0, d), t.select(n.x[2], 0, d)] + [t.zeros((size,), self.dtype)] * 2
        b = t.select(n.x[3], 0, d)
        return [t.select(n.x[1], 0, d), t.select(n.x[2], 0, d), t.narrow(b, 0, 0, size), t.narrow(b, 0, size, size)]

    def sorted_gates(self, m):
        order = ORDER[self.n.type]
        parts = [self.t.narrow(m, 0, g * self.hidden, self.hidden) for g in order]
        return self.t.cat(parts, len(parts), 0)

    def results(self, y, finals):
        """y [T, directions, N, H], finals [directions, N, H] as the node has them."""
        y = self.t.permute(y, [2, 0, 1, 3], 4) if self.batch_first else y
        return [y] + [self.turned(f) for f in finals]


def by_tern(t, layer, relu=False):
    from api import Out
    x, n = layer.x, layer.n
    backwards = layer.direction == "reverse"
    if backwards and layer.lengths:
        raise Excluded(f"{n.type} of reverse direction with lengths")
    weights = [layer.sorted_gates(m) for d in range(layer.directions) for m in layer.weights(d)]
    opts = {"layers": 1, "bidirectional": layer.directions == 2, "relu": relu, "lengths": layer.lengths}
    finals = [Out() for _ in layer.states]
    x = t.flip(x, [0], 1) if backwards else x
    y = getattr(t, n.type.lower())(x, *layer.states, weights, len(weights), opts, *finals)
    y = t.flip(y, [0], 1) if backwards else y
    y = t.permute(t.reshape(y, (layer.steps, layer.batch, layer.directions, layer.hidden)), [0, 2, 1, 3], 4)
    return layer.results(y, [f[0] for f in finals])


def step_by_step(t, layer, step):
    """step(d, x [N, I], states [N, H] each) gives the new states, the first of which is the output."""
    if layer.lengths:
        raise Excluded(f"{layer.n.type} step by step with lengths")
    ys, finals = [], []
    for d in range(layer.directions):
        states, out = [t.select(s, 0, d) for s in layer.states], [None] * layer.steps
        order = range(layer.steps)
        for i in reversed(order) if d or layer.direction == "reverse" else order:
            states = step(d, t.select(layer.x, 0, i), *states)
            out[i] = states[0]
        ys.append(t.stack(out, len(out), 0))
        finals.append(states)
    return layer.results(t.stack(ys, len(ys), 1), [t.stack(list(f), len(f), 0) for f in zip(*finals)])


def usual(n, *choices):
    """Which of these activations (of one direction) the node asks for."""
    asked = [a.decode().lower() if isinstance(a, bytes) else a.lower() for a in n.attr("activations") or choices[0]]
    for c in choices:
        if asked == c * (len(asked) // len(c)):
            return c
    raise Excluded(f"{n.type} with the activations {', '.join(asked)}")


@op("RNN")
def rnn(t, n):
    return by_tern(t, Layer(t, n), usual(n, ["tanh"], ["relu"]) == ["relu"])


@op("GRU")
def gru(t, n):
    layer = Layer(t, n)
    usual(n, ["sigmoid", "tanh"])
    if n.attr("linear_before_reset", 0):
        return by_tern(t, layer)
    weights = [layer.weights(d) for d in range(layer.directions)]

    def part(m, first, count):
        return t.narrow(m, 0, first * layer.hidden, count * layer.hidden)

    def step(d, x, h):
        # The reset gate comes before the product here; tern_gru has it after, as cuDNN and PyTorch.
        w, r, bw, br = weights[d]
        gates = t.add(t.linear(x, part(w, 0, 2), part(bw, 0, 2)), t.linear(h, part(r, 0, 2), part(br, 0, 2)))
        gates = t.sigmoid(gates)
        z, reset = t.narrow(gates, 1, 0, layer.hidden), t.narrow(gates, 1, layer.hidden, layer.hidden)
        new = t.add(t.linear(x, part(w, 2, 1), part(bw, 2, 1)), t.linear(t.mul(reset, h), part(r, 2, 1), part(br, 2, 1)))
        return [t.lerp(t.tanh(new), h, z)]
    return step_by_step(t, layer, step)


@op("LSTM")
def lstm(t, n):
    layer = Layer(t, n)
    usual(n, ["sigmoid", "tanh", "tanh"])
    if n.at(7) is None or not np.any(n.host(7)):
        return by_tern(t, layer)
    weights = [layer.weights(d) for d in range(layer.directions)]

    def step(d, x, h, c):  # with peepholes, which tern_lstm does not have
        w, r, bw, br = weights[d]
        gates = t.add(t.linear(x, w, bw), t.linear(h, r, br))
        i, o, f, g = (t.narrow(gates, 1, k * layer.hidden, layer.hidden) for k in range(4))
        pi, po, pf = (t.narrow(t.select(n.x[7], 0, d), 0, k * layer.hidden, layer.hidden) for k in range(3))
        kept = t.mul(t.sigmoid(t.add(f, t.mul(pf, c))), c)
        new = t.add(kept, t.mul(t.sigmoid(t.add(i, t.mul(pi, c))), t.tanh(g)))
        return [t.mul(t.sigmoid(t.add(o, t.mul(po, new))), t.tanh(new)), new]
    return step_by_step(t, layer, step)
