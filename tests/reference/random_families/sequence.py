"""core/sequence.h."""
import numpy as np
import torch
import torch.nn.functional as F
from api import Out
from pytorch_random import Case, Refused, op


@op("embedding")
def _(g):
    v, e = g.size(False), g.size()
    padding = g.pick(None, g.integer(-v, v - 1))
    g.note(padding=padding)
    return Case([g.real((v, e)), g.index(g.shape(0, 3), v)],
                lambda t, w, i: t.embedding(w, i, {"has_padding": padding is not None, "padding": padding or 0}),
                lambda w, i: F.embedding(i, w, padding_idx=padding))


@op("embedding_bag")
def _(g):
    v, e = g.size(False), g.size(False)
    mode = g.pick("mean", "sum", "max")
    padding = g.pick(None, g.integer(-v, v - 1))
    flat = g.chance(0.5)
    last = flat and g.chance(0.5)
    shape = (g.integer(1, 10),) if flat else (g.integer(1, 4), g.integer(1, 5))
    offsets = None
    if flat:
        cuts = np.sort(g.rng.integers(0, shape[0] + 1, g.integer(0, 4)))
        offsets = g.of(np.concatenate([[0], cuts, [shape[0]] if last else []]).astype(np.int64), "i64", False, expand=False)
    weights = g.real(shape) if mode == "sum" and g.chance(0.5) else None
    if mode == "max":  # PyTorch gives equals' gradient to the first
        index = g.of(g.rng.permutation(max(v, int(np.prod(shape))))[:int(np.prod(shape))].reshape(shape), "i64", False, expand=False)
        v = max(v, int(np.prod(shape)))
        if padding is not None:
            padding %= v
    else:
        index = g.whole(shape, 0, v - 1, "i64")
    g.note(mode=mode, padding=padding, include_last_offset=last)
    opts = {"mode": g.enum("TERN_BAG_" + mode.upper()), "include_last_offset": last, "has_padding": padding is not None,
            "padding": padding or 0}
    table = g.distinct((v, e)) if mode == "max" else g.real((v, e))
    return Case([table, index, offsets, weights],
                lambda t, w, i, o, k: t.embedding_bag(w, i, o, dict(opts, weights=k)),
                lambda w, i, o, k: F.embedding_bag(i.contiguous(), w, None if o is None else o.contiguous(), mode=mode,
                                                   per_sample_weights=k, include_last_offset=last, padding_idx=padding))


@op("rotary_tables")
def _(g):
    dims, base = 2 * g.integer(1, 6), g.pick(10000., 100.)
    dtype = g.dtype
    g.note(dims=dims, base=base)

    def tern(t, p):
        o = Out()
        return [t.rotary_tables(p, dims, base, t.enums["tern_dtype"]["TERN_" + dtype.upper()], o), o[0]]

    def reference(p):
        a = p.double()[..., None] * base ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
        return [a.cos(), a.sin()]
    return Case([g.whole(g.shape(0, 2), 0, 50)], tern, reference, dtype=False)


@op("rotary")
def _(g):
    r, rest = g.integer(1, 4), g.integer(0, 3)
    lead = g.shape(0, 3)
    inter = g.chance(0.5)
    table = lead[g.integer(0, len(lead)):] + (r,)
    g.note(interleaved=inter)

    def reference(x, c, s):
        y, z = x[..., :2 * r], x[..., 2 * r:]
        a, b = (y[..., ::2], y[..., 1::2]) if inter else (y[..., :r], y[..., r:])
        p, q = a * c - b * s, b * c + a * s
        return torch.cat([torch.stack([p, q], -1).flatten(-2) if inter else torch.cat([p, q], -1), z], -1)
    return Case([g.real(lead + (2 * r + rest,)), g.real(table, -1, 1), g.real(table, -1, 1)],
                lambda t, x, c, s: t.rotary(x, c, s, {"interleaved": inter}), reference)


@op("scaled_dot_product_attention")
def _(g):
    heads, share = g.pick((1, 1), (2, 1), (2, 2), (3, 1))
    lead = (g.size(False),) if g.chance(0.7) else ()
    q, s, e, v = g.integer(1, 6), g.integer(1, 6), g.integer(1, 6), g.integer(1, 5)
    kv = heads // share
    causal, scale = g.chance(0.3), g.pick(0., 0.3)
    kind = "none" if causal else g.pick("none", "bool", "float")
    ms = tuple(1 if g.chance(0.3) else k for k in lead + (heads, q, s))
    mask = None
    if kind == "bool":
        m = g.rng.random(ms) < 0.7
        m[..., 0] = m[..., 0] | g.chance(0.7)  # else rows without a key, which give zeros in both
        mask = g.of(m, "bool", False, expand=False)
    elif kind == "float":
        mask = g.real(ms)
    g.note(causal=causal, scale=scale, mask=kind)
    return Case([g.real(lead + (heads, q, e)), g.real(lead + (kv, s, e)), g.real(lead + (kv, s, v)), mask],
                lambda t, q, k, v, m: t.scaled_dot_product_attention(q, k, v, m, {"causal": causal, "scale": scale}),
                lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m, is_causal=causal, scale=scale or None,
                                                                  enable_gqa=share > 1), loosen=2.)


def recurrent(name, gates):
    @op(name, ("f64", "f32"))
    def draw(g):
        steps, n, i, h = g.integer(1, 5), g.integer(1, 4), g.integer(1, 4), g.integer(1, 4)
        layers, two, first, bias = g.integer(1, 2), g.chance(0.4), g.chance(0.4), g.chance(0.7)
        relu = name == "rnn" and g.chance(0.4)
        d = 2 if two else 1
        lengths = [g.integer(1, steps) for _ in range(n)] if g.chance(0.4) else None
        initial = g.chance(0.6)
        weights = []
        for layer in range(layers):
            for _ in range(d):
                weights += [g.real((gates * h, i if layer == 0 else d * h), -1, 1), g.real((gates * h, h), -1, 1)]
                weights += [g.real((gates * h,), -1, 1), g.real((gates * h,), -1, 1)] if bias else [None, None]
        states = [g.real((layers * d, n, h)) if initial else None for _ in range(2 if name == "lstm" else 1)]
        opts = {"layers": layers, "bidirectional": two, "batch_first": first, "relu": relu, "lengths": lengths}
        g.note(bias=bias, **opts)

        def tern(t, x, *rest):
            s, w = rest[:len(states)], list(rest[len(states):])
            hn, cn = Out(), Out()
            if name == "lstm":
                return [t.lstm(x, s[0], s[1], w, len(w), opts, hn, cn), hn[0], cn[0]]
            return [getattr(t, name)(x, s[0], w, len(w), opts, hn), hn[0]]

        def reference(x, *rest):
            s, w = rest[:len(states)], [k for k in rest[len(states):] if k is not None]
            s = [torch.zeros(layers * d, n, h, dtype=x.dtype) if k is None else k for k in s]
            run = {"lstm": torch._VF.lstm, "gru": torch._VF.gru, "rnn": torch._VF.rnn_relu if relu else torch._VF.rnn_tanh}[name]
            state = s if name == "lstm" else s[0]
            if lengths is None:
                return list(run(x, state, w, bias, layers, 0., False, two, first))
            order = sorted(range(n), key=lambda k: -lengths[k])
            back = [order.index(k) for k in range(n)]
            xs = (x if not first else x.transpose(0, 1))[:, order]
            p = torch.nn.utils.rnn.pack_padded_sequence(xs, [lengths[k] for k in order])
            state = [k[:, order] for k in s] if name == "lstm" else s[0][:, order]
            y, *ends = run(p.data, p.batch_sizes, state, w, bias, layers, 0., False, two)
            y = torch.nn.utils.rnn.pad_packed_sequence(torch.nn.utils.rnn.PackedSequence(y, p.batch_sizes), total_length=steps)[0][:, back]
            return [y.transpose(0, 1) if first else y] + [k[:, back] for k in ends]
        return Case([g.real((n, steps, i) if first else (steps, n, i))] + states + weights, tern, reference, loosen=4.)


recurrent("rnn", 1)
recurrent("gru", 3)
recurrent("lstm", 4)


def cell(name, gates):
    @op(name + "_cell", ("f64", "f32"))
    def draw(g):
        n, i, h = (() if g.chance(0.2) else (g.integer(1, 4),)), g.integer(1, 5), g.integer(1, 5)
        bias, relu = g.chance(0.7), name == "rnn" and g.chance(0.4)
        g.note(bias=bias, relu=relu)
        k = gates * h
        w = [g.real((k, i), -1, 1), g.real((k, h), -1, 1)]
        w += [g.real((k,), -1, 1), g.real((k,), -1, 1)] if bias else [None, None]
        states = [g.real(n + (h,)) for _ in range(2 if name == "lstm" else 1)]
        m = len(states)

        def tern(t, x, *rest):
            c = Out()
            if name == "lstm":
                return [t.lstm_cell(x, rest[0], rest[1], list(rest[2:]), 4, c), c[0]]
            return t.rnn_cell(x, rest[0], list(rest[1:]), 4, relu) if name == "rnn" else t.gru_cell(x, rest[0], list(rest[1:]), 4)

        def reference(x, *rest):
            run = {"lstm": torch._VF.lstm_cell, "gru": torch._VF.gru_cell,
                   "rnn": torch._VF.rnn_relu_cell if relu else torch._VF.rnn_tanh_cell}[name]
            s = [k if n else k[None] for k in rest[:m]]
            y = run(x if n else x[None], s if name == "lstm" else s[0], *rest[m:])
            return [k if n else k[0] for k in (y if name == "lstm" else [y])]
        return Case([g.real(n + (i,))] + states + w, tern, reference, loosen=4.)


cell("rnn", 1)
cell("gru", 3)
cell("lstm", 4)
