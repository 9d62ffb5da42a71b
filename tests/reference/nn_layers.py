"""Writes nn_layers.def beside itself: what PyTorch's layers give in float64, which tests/nn_table.c compares with.
Run it again to add cases; the result is part of the repository.

    python3 tests/reference/nn_layers.py          (needs PyTorch; made with 2.15 on the CPU)

Parameters, inputs and the gradient that reaches the outputs are not stored: both sides draw them from the same
SplitMix64 stream, which starts from the case's name. The order is: state_dict's float tensors (parameters in [-0.5,
0.5), buffers in [0.5, 1.5)), the float inputs, then for each output the gradient in [-1, 1). What is stored is the
names and shapes of the state, the outputs, the gradients of the float inputs and of the parameters, and the buffers
afterwards. The constructors of this side stand here, those of the other in tests/nn_rows.def, under the same name."""
import math
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
MASK = (1 << 64) - 1


# ---- the stream ------------------------------------------------------------------------------------------------------

class Stream:
    def __init__(self, name):
        self.state = 0xCBF29CE484222325
        for c in name.encode():
            self.state = ((self.state ^ c) * 0x100000001B3) & MASK

    def one(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        return (z >> 11) / 9007199254740992.0

    def tensor(self, shape, lo, hi):
        n = math.prod(shape)
        return torch.tensor([lo + (hi - lo) * self.one() for _ in range(n)]).reshape(shape)


class X:
    """A float input, in [lo, hi)."""
    def __init__(self, *shape, lo=-1.0, hi=1.0):
        self.shape, self.lo, self.hi = shape, lo, hi


class I:
    """An input of integers (kind i) or bools (kind b)."""
    def __init__(self, values, kind="i"):
        self.values, self.kind = torch.tensor(values), kind


# ---- one case --------------------------------------------------------------------------------------------------------

def text(shape):
    return "[%s]" % ", ".join(map(str, shape))


def numbers(t):
    return [float(v) for v in t.detach().reshape(-1)]


def short(v):
    s = "%.15g" % v
    return s if float(s) == v or abs(float(s) - v) <= 2e-15 * abs(v) else repr(v)


WRITTEN = []


def case(name, make, inputs, call, training):
    module = make()
    module.double().train(training)
    stream = Stream(name)
    params = dict(module.named_parameters())
    state = []
    with torch.no_grad():
        for key, t in module.state_dict().items():
            state.append(key + text(t.shape) + ("" if t.is_floating_point() else "i"))
            if t.is_floating_point():
                t.copy_(stream.tensor(t.shape, -0.5, 0.5) if key in params else stream.tensor(t.shape, 0.5, 1.5))
    xs, listed = [], []
    for i in inputs:
        if isinstance(i, X):
            xs.append(stream.tensor(i.shape, i.lo, i.hi).requires_grad_())
            listed.append("{'f', {%d, {%s}}, %r, %r, NULL}" % (len(i.shape), ", ".join(map(str, i.shape)) or "0", i.lo, i.hi))
        else:
            xs.append(i.values)
            values = ", ".join(str(int(v)) for v in i.values.reshape(-1))
            listed.append("{'%s', {%d, {%s}}, 0, 0, (const double[]){%s}}" % (
                i.kind, i.values.dim(), ", ".join(map(str, i.values.shape)) or "0", values))
    ys = call(module, *xs)
    ys = list(ys) if isinstance(ys, (tuple, list)) else [ys]
    seeds = [stream.tensor(y.shape, -1, 1) for y in ys]
    loss = sum((v * y).sum() for v, y in zip(seeds, ys))
    if loss.requires_grad:
        loss.backward()
    values = sum([numbers(y) for y in ys], [])
    for x in xs:
        if x.is_floating_point():
            values += numbers(x.grad if x.grad is not None else torch.zeros_like(x))
    after = module.state_dict()
    for key in after:
        if key in params:
            p = params[key]
            values += numbers(p.grad if p.grad is not None else torch.zeros_like(p))
    for key, t in after.items():
        if key not in params:
            values += numbers(t)
    WRITTEN.append('{"%s", %s, "%s", %d, {%s}, "%s", %d, (const double[]){%s}},\n' % (
        name, "true" if training else "false", " ".join(state), len(xs), ", ".join(listed) or "{0}",
        " ".join(text(y.shape) for y in ys), len(values), ", ".join(short(v) for v in values) or "0"))


def row(name, make, *inputs, call=lambda m, *xs: m(*xs), modes="T"):
    """modes: T training, E evaluation."""
    for mode in modes:
        case(name, make, inputs, call, mode == "T")


# ---- families --------------------------------------------------------------------------------------------------------

def activations():
    # nn.Hardsigmoid's gradient in float64 has 1/6 rounded to float32, and nn.CELU its alpha.
    x = X(3, 4, lo=-2.0, hi=2.0)
    for name, make in [
            ("relu", nn.ReLU), ("relu6", nn.ReLU6), ("gelu", nn.GELU), ("gelu_tanh", lambda: nn.GELU("tanh")),
            ("selu", nn.SELU), ("silu", nn.SiLU), ("mish", nn.Mish), ("sigmoid", nn.Sigmoid),
            ("logsigmoid", nn.LogSigmoid), ("hardsigmoid", lambda: Fn(lambda t: F.relu6(t + 3) / 6)), ("hardswish", nn.Hardswish),
            ("tanh", nn.Tanh), ("tanhshrink", nn.Tanhshrink), ("softplus", nn.Softplus), ("softsign", nn.Softsign),
            ("identity", nn.Identity), ("leaky_relu", lambda: nn.LeakyReLU(0.2)), ("elu", lambda: nn.ELU(0.7)),
            ("celu", lambda: nn.CELU(1.25)), ("hardshrink", lambda: nn.Hardshrink(0.4)),
            ("softshrink", lambda: nn.Softshrink(0.3)), ("hardtanh", lambda: nn.Hardtanh(-0.5, 1.2)),
            ("threshold", lambda: nn.Threshold(0.1, -3)), ("softplus_beta", lambda: nn.Softplus(2, 1.5)),
            ("softmax", lambda: nn.Softmax(1)), ("softmin", lambda: nn.Softmin(0)),
            ("log_softmax", lambda: nn.LogSoftmax(-1)), ("glu", lambda: nn.GLU(1)), ("prelu_one", nn.PReLU),
            ("prelu", lambda: nn.PReLU(4, 0.1))]:
        row(name, make, x)
    row("rrelu", lambda: nn.RReLU(0.1, 0.5), x, modes="E")
    row("op", lambda: Fn(torch.exp), x)


class Fn(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *x):
        return self.f(*x)


def affine():
    row("linear", lambda: nn.Linear(5, 3), X(2, 4, 5))
    row("linear_no_bias", lambda: nn.Linear(5, 3, bias=False), X(4, 5))
    row("bilinear", lambda: nn.Bilinear(3, 4, 2), X(2, 3, 3), X(2, 3, 4))
    row("bilinear_no_bias", lambda: nn.Bilinear(3, 4, 2, bias=False), X(3), X(4))
    row("conv1d", lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1), X(2, 2, 7))
    row("conv1d_same", lambda: nn.Conv1d(2, 4, 4, padding="same", dilation=2, groups=2, bias=False), X(2, 2, 9))
    row("conv2d", lambda: nn.Conv2d(2, 3, 3, padding=1), X(2, 2, 5, 4))
    row("conv2d_rect", lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 0), dilation=(1, 2), groups=2,
                                         bias=False), X(1, 4, 6, 7))
    row("conv3d", lambda: nn.Conv3d(2, 2, 2, stride=2), X(2, 2, 4, 4, 4))
    row("conv3d_rect", lambda: nn.Conv3d(2, 2, (1, 2, 3), padding=(0, 1, 1)), X(1, 2, 2, 3, 4))
    row("conv_transpose1d", lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1, output_padding=1), X(2, 2, 5))
    row("conv_transpose2d", lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), X(2, 2, 3, 2))
    row("conv_transpose2d_rect", lambda: nn.ConvTranspose2d(4, 2, (2, 3), stride=(1, 2), padding=(0, 1),
                                                            output_padding=(0, 1), groups=2, dilation=(2, 1), bias=False),
        X(1, 4, 3, 3))
    row("conv_transpose3d", lambda: nn.ConvTranspose3d(2, 2, 2, stride=2), X(1, 2, 2, 2, 3))
    row("conv_transpose3d_rect", lambda: nn.ConvTranspose3d(2, 1, (1, 2, 3), padding=(0, 1, 1)), X(1, 2, 2, 3, 3))
    row("embedding", lambda: nn.Embedding(6, 3), I([[1, 5], [0, 1]]))
    row("embedding_padding", lambda: nn.Embedding(6, 3, padding_idx=-1), I([[1, 5], [0, 1]]))
    row("embedding_bag", lambda: nn.EmbeddingBag(6, 3), I([[1, 5, 2], [0, 1, 1]]))
    row("embedding_bag_offsets", lambda: nn.EmbeddingBag(6, 3, mode="max"), I([1, 5, 2, 0, 1]), I([0, 2, 4]))
    row("embedding_bag_weights", lambda: nn.EmbeddingBag(6, 3, mode="sum", padding_idx=2), I([1, 5, 2, 0, 1]), I([0, 2, 2]),
        X(5), call=lambda m, i, o, w: m(i, o, per_sample_weights=w))


def norms():
    row("batch_norm", lambda: nn.BatchNorm2d(3), X(4, 3, 2, 3), modes="TE")
    row("batch_norm_thrice", lambda: nn.BatchNorm1d(2, momentum=0.3), X(4, 2), call=lambda m, x: [m(x), m(x), m(x)][-1])
    row("batch_norm_settings", lambda: nn.BatchNorm1d(3, eps=1e-2, momentum=0.3, affine=False), X(6, 3), modes="TE")
    row("batch_norm_no_running", lambda: nn.BatchNorm1d(3, track_running_stats=False), X(6, 3), modes="TE")
    row("instance_norm", lambda: nn.InstanceNorm2d(3), X(2, 3, 2, 3), modes="TE")
    row("instance_norm_all", lambda: nn.InstanceNorm1d(3, eps=1e-3, momentum=0.4, affine=True, track_running_stats=True),
        X(2, 3, 5), modes="TE")
    row("group_norm", lambda: nn.GroupNorm(2, 4), X(2, 4, 3))
    row("group_norm_no_affine", lambda: nn.GroupNorm(4, 4, eps=1e-2, affine=False), X(2, 4, 3))
    row("layer_norm", lambda: nn.LayerNorm((3, 4)), X(2, 3, 4))
    row("layer_norm_no_affine", lambda: nn.LayerNorm(4, eps=1e-2, elementwise_affine=False), X(2, 3, 4))
    row("layer_norm_no_bias", lambda: nn.LayerNorm(4, bias=False), X(2, 3, 4))
    row("rms_norm", lambda: nn.RMSNorm((3, 4), eps=1e-4), X(2, 3, 4))
    row("rms_norm_no_affine", lambda: nn.RMSNorm(4, elementwise_affine=False, eps=1e-3), X(2, 3, 4))
    row("local_response_norm", lambda: nn.LocalResponseNorm(3, alpha=0.1, beta=0.5, k=2), X(2, 5, 3))
    for name, make, shape in [
            ("dropout", nn.Dropout, (3, 4)), ("dropout1d", nn.Dropout1d, (2, 3, 4)), ("dropout2d", nn.Dropout2d, (1, 2, 2, 3)),
            ("dropout3d", nn.Dropout3d, (1, 2, 2, 2, 2)), ("alpha_dropout", nn.AlphaDropout, (3, 4)),
            ("feature_alpha_dropout", nn.FeatureAlphaDropout, (2, 3, 4))]:
        row(name, lambda: make(0.5), X(*shape), modes="E")


def unpooled(pool):
    def call(m, x, *v):
        y, i = pool(x)
        return m(y, i, output_size=x.shape) if v else m(y, i)
    return call


def spatial():
    row("max_pool1d", lambda: nn.MaxPool1d(3, stride=2, padding=1), X(2, 2, 7))
    row("max_pool2d", lambda: nn.MaxPool2d(2), X(2, 2, 5, 6))
    row("max_pool2d_rect", lambda: nn.MaxPool2d((2, 3), stride=(1, 2), padding=(1, 0), dilation=(2, 1), ceil_mode=True),
        X(1, 2, 5, 6))
    row("max_pool3d", lambda: nn.MaxPool3d(2), X(1, 2, 4, 3, 4))
    row("max_pool3d_rect", lambda: nn.MaxPool3d((1, 2, 3), stride=1), X(1, 2, 2, 3, 4))
    row("max_pool_indices", lambda: nn.MaxPool2d(2, return_indices=True), X(1, 2, 4, 4), call=lambda m, x: m(x)[0])
    row("avg_pool1d", lambda: nn.AvgPool1d(3, stride=2, padding=1), X(2, 2, 7))
    row("avg_pool2d", lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), X(2, 2, 5, 6))
    row("avg_pool2d_rect", lambda: nn.AvgPool2d((2, 3), ceil_mode=True, divisor_override=5), X(1, 2, 5, 5))
    row("avg_pool3d", lambda: nn.AvgPool3d(2), X(1, 2, 4, 3, 4))
    row("avg_pool3d_rect", lambda: nn.AvgPool3d((1, 2, 3), stride=(1, 2, 1)), X(1, 2, 2, 4, 4))
    row("lp_pool1d", lambda: nn.LPPool1d(2, 3, stride=2), X(2, 2, 7))
    row("lp_pool2d", lambda: nn.LPPool2d(3, 2), X(2, 2, 4, 4, lo=0.5, hi=1.5))
    row("lp_pool3d", lambda: nn.LPPool3d(2, 2), X(1, 2, 4, 2, 4))
    row("adaptive_avg_pool1d", lambda: nn.AdaptiveAvgPool1d(3), X(2, 2, 7))
    row("adaptive_avg_pool2d", lambda: nn.AdaptiveAvgPool2d((3, None)), X(1, 2, 5, 4))
    row("adaptive_avg_pool3d", lambda: nn.AdaptiveAvgPool3d((1, 2, 2)), X(1, 2, 2, 3, 4))
    row("adaptive_max_pool1d", lambda: nn.AdaptiveMaxPool1d(3), X(2, 2, 7))
    row("adaptive_max_pool2d", lambda: nn.AdaptiveMaxPool2d(2), X(1, 2, 5, 4))
    row("adaptive_max_pool3d", lambda: nn.AdaptiveMaxPool3d((1, 2, 2)), X(1, 2, 2, 3, 4))
    def drawn(m, x, samples):
        m._random_samples = samples.detach()
        y, m._random_samples = m(x), None  # a buffer, else
        return y
    u = dict(lo=0.0, hi=1.0)
    row("fractional_max_pool2d", lambda: nn.FractionalMaxPool2d((2, 3), output_size=(5, 3)), X(2, 3, 9, 8), X(2, 3, 2, **u), call=drawn)
    row("fractional_max_pool2d_ratio", lambda: nn.FractionalMaxPool2d(2, output_ratio=(0.7, 0.5)), X(2, 8, 7), X(1, 2, 2, **u), call=drawn)
    row("fractional_max_pool3d", lambda: nn.FractionalMaxPool3d((2, 1, 3), output_size=(3, 5, 2)), X(1, 2, 5, 9, 5), X(1, 2, 3, **u),
        call=drawn)
    row("max_unpool1d", lambda: nn.MaxUnpool1d(2), X(1, 2, 6), call=unpooled(nn.MaxPool1d(2, return_indices=True)))
    row("max_unpool2d", lambda: nn.MaxUnpool2d(2), X(1, 2, 5, 4), I([5, 4]),
        call=unpooled(nn.MaxPool2d(2, return_indices=True)))
    row("max_unpool3d", lambda: nn.MaxUnpool3d(2), X(1, 1, 4, 2, 4), call=unpooled(nn.MaxPool3d(2, return_indices=True)))
    row("zero_pad1d", lambda: nn.ZeroPad1d((1, 2)), X(1, 2, 3))
    row("zero_pad2d", lambda: nn.ZeroPad2d((1, 2, 0, 1)), X(1, 2, 3, 3))
    row("zero_pad3d", lambda: nn.ZeroPad3d((1, 0, 0, 1, 1, 1)), X(1, 1, 2, 2, 2))
    row("constant_pad1d", lambda: nn.ConstantPad1d((1, 2), 1.5), X(1, 2, 3))
    row("constant_pad2d", lambda: nn.ConstantPad2d((1, 2, -1, 1), -2.5), X(1, 2, 3, 3))
    row("constant_pad3d", lambda: nn.ConstantPad3d((1, 0, 0, 1, 1, 1), 0.5), X(1, 1, 2, 2, 2))
    for axes in (1, 2, 3):
        pads = (1, 2, 1, 0, 0, 1)[:2 * axes]
        shape = (1, 2, 4, 3, 3)[:2 + axes] if axes < 3 else (1, 1, 3, 2, 3)
        for kind, name in (("Reflection", "reflection"), ("Replication", "replication"), ("Circular", "circular")):
            row(f"{name}_pad{axes}d", lambda: getattr(nn, f"{kind}Pad{axes}d")(pads), X(*shape))
    row("unfold", lambda: nn.Unfold((2, 3), dilation=(1, 1), padding=(1, 0), stride=(2, 1)), X(1, 2, 4, 4))
    row("fold", lambda: nn.Fold((4, 5), (2, 3), stride=(2, 1)), X(1, 12, 6))
    row("upsample_nearest", lambda: nn.Upsample(scale_factor=2), X(1, 2, 3))
    row("upsample_bilinear", lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), X(1, 2, 2, 3))
    row("upsample_bicubic", lambda: nn.Upsample(size=(5, 4), mode="bicubic"), X(1, 1, 3, 3))
    row("upsample_trilinear", lambda: nn.Upsample(size=(3, 2, 4), mode="trilinear"), X(1, 1, 2, 2, 3))
    row("pixel_shuffle", lambda: nn.PixelShuffle(2), X(1, 8, 2, 3))
    row("pixel_unshuffle", lambda: nn.PixelUnshuffle(2), X(1, 2, 4, 6))
    row("channel_shuffle", lambda: nn.ChannelShuffle(2), X(1, 6, 2, 2))
    row("flatten", nn.Flatten, X(2, 3, 4))
    row("flatten_dims", lambda: nn.Flatten(0, -2), X(2, 3, 4))
    row("unflatten", lambda: nn.Unflatten(1, (2, -1)), X(2, 6, 2))


class Residual(nn.Module):
    def __init__(self, body, shortcut=None):
        super().__init__()
        self.body = body
        if shortcut is not None:
            self.shortcut = shortcut

    def forward(self, x):
        return (self.shortcut(x) if hasattr(self, "shortcut") else x) + self.body(x)


def in_order(m, x):
    for part in (m.values() if isinstance(m, nn.ModuleDict) else m):
        x = part(x)
    return x


def containers():
    row("sequential", lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2, bias=False)), X(2, 3))
    row("list", lambda: nn.ModuleList([nn.Linear(3, 4), nn.Tanh()]), X(2, 3), call=in_order)
    row("dict", lambda: nn.ModuleDict({"first": nn.Linear(3, 4), "second": nn.Tanh()}), X(2, 3), call=in_order)
    row("residual", lambda: Residual(nn.Linear(3, 3)), X(2, 3))
    row("residual_shortcut", lambda: Residual(nn.Tanh(), nn.Linear(3, 3, bias=False)), X(2, 3))


def states(m, x, *s):
    y, final = m(x, (s if len(s) > 1 else s[0]) if s else None)
    return [y, *final] if isinstance(final, tuple) else [y, final]


def packed(m, x):
    p = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2, 4, 1]), batch_first=True, enforce_sorted=False)
    y, final = m(p)
    return [nn.utils.rnn.pad_packed_sequence(y, batch_first=True)[0], *final]


def recurrent():
    row("rnn", lambda: nn.RNN(3, 4), X(3, 2, 3), X(1, 2, 4), call=states)
    row("rnn_relu", lambda: nn.RNN(3, 2, 2, nonlinearity="relu", bias=False, batch_first=True), X(2, 3, 3), X(2, 2, 2), call=states)
    row("rnn_alone", lambda: nn.RNN(3, 2, bidirectional=True), X(3, 2, 3), call=lambda m, x: m(x)[0])
    row("lstm", lambda: nn.LSTM(3, 2), X(3, 2, 3), X(1, 2, 2), X(1, 2, 2), call=states)
    row("lstm_deep", lambda: nn.LSTM(3, 2, 2, bidirectional=True, dropout=0.5), X(3, 2, 3), X(4, 2, 2), X(4, 2, 2), call=states,
        modes="E")
    row("lstm_packed", lambda: nn.LSTM(2, 2, bidirectional=True, batch_first=True), X(3, 4, 2), call=packed)
    row("lstm_projected", lambda: nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2), X(3, 2, 3), X(4, 2, 2), X(4, 2, 4), call=states)
    row("lstm_projected_packed", lambda: nn.LSTM(2, 3, batch_first=True, bias=False, proj_size=1), X(3, 4, 2), call=packed)
    row("gru", lambda: nn.GRU(3, 2, batch_first=True), X(2, 3, 3), call=states)
    row("gru_deep", lambda: nn.GRU(3, 2, 2, bidirectional=True), X(3, 2, 3), X(4, 2, 2), call=states)
    row("rnn_cell", lambda: nn.RNNCell(3, 4), X(2, 3), X(2, 4))
    row("rnn_cell_relu", lambda: nn.RNNCell(3, 4, nonlinearity="relu", bias=False), X(2, 3), X(2, 4))
    row("lstm_cell", lambda: nn.LSTMCell(3, 2), X(2, 3), X(2, 2), X(2, 2), call=lambda m, x, h, c: m(x, (h, c)))
    row("gru_cell", lambda: nn.GRUCell(3, 2), X(2, 3), X(2, 2))
    row("gru_cell_alone", lambda: nn.GRUCell(3, 2), X(3))


def attended(**options):
    """Self-attention with one input, with keys as values with two."""
    def call(m, q, k=None, v=None):
        k = q if k is None else k
        return m(q, k, k if v is None else v, need_weights=False, **options)[0]
    return call


def causal(n):
    return nn.Transformer.generate_square_subsequent_mask(n, dtype=torch.float64)


def turn(x, first, base, interleaved):
    """x [..., L, E] turned by its positions."""
    length, dims = x.shape[-2:]
    angle = torch.arange(first, first + length)[:, None] * base ** (-torch.arange(0, dims, 2) / dims)
    cos, sin = angle.cos(), angle.sin()
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :dims // 2], x[..., dims // 2:])
    parts = [a * cos - b * sin, b * cos + a * sin]
    return torch.stack(parts, -1).flatten(-2) if interleaved else torch.cat(parts, -1)


class Grouped(nn.Module):
    def __init__(self, dims, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads, kv = heads, kv_heads, dims // heads * kv_heads
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(dims, dims), nn.Linear(dims, kv), nn.Linear(dims, kv)
        self.out_proj = nn.Linear(dims, dims)

    def forward(self, x):
        split = lambda t, h: t.unflatten(-1, (h, -1)).transpose(1, 2)
        q, k, v = split(self.q_proj(x), self.heads), split(self.k_proj(x), self.kv_heads), split(self.v_proj(x), self.kv_heads)
        q, k = turn(q, 0, 10000.0, False), turn(k, 0, 10000.0, False)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.out_proj(y.transpose(1, 2).flatten(-2))


def rotary_attention(m, x):
    split = lambda t: t.unflatten(-1, (m.num_heads, -1)).permute(1, 2, 0, 3)
    q, k, v = [split(t) for t in F.linear(x, m.in_proj_weight, m.in_proj_bias).chunk(3, -1)]
    y = F.scaled_dot_product_attention(turn(q, 0, 100.0, True), turn(k, 0, 100.0, True), v)
    return m.out_proj(y.permute(2, 0, 1, 3).flatten(-2))


class Sinusoidal(nn.Module):
    def __init__(self, base, first=0, batch_first=False):
        super().__init__()
        self.base, self.first, self.batch_first = base, first, batch_first

    def forward(self, x):
        length, dims = x.shape[1 if self.batch_first else 0], x.shape[-1]
        angle = torch.arange(self.first, self.first + length)[:, None] * self.base ** (-torch.arange(0, dims, 2) / dims)
        table = torch.zeros(length, dims)
        table[:, 0::2], table[:, 1::2] = angle.sin(), angle.cos()
        return x + (table if self.batch_first else table[:, None])


def attention():
    mha, layer, stack = nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerEncoder
    dlayer, dstack = nn.TransformerDecoderLayer, nn.TransformerDecoder
    row("attention", lambda: mha(6, 2), X(3, 2, 6), X(4, 2, 6), X(4, 2, 6), call=attended())
    row("attention_self", lambda: mha(6, 3, batch_first=True), X(2, 4, 6), call=attended(attn_mask=causal(4)))
    row("attention_alone", lambda: mha(4, 2), X(3, 4), call=attended())
    row("attention_cross", lambda: mha(4, 2, kdim=3, vdim=5), X(3, 2, 4), X(4, 2, 3), X(4, 2, 5), call=attended())
    row("attention_no_bias", lambda: mha(4, 1, bias=False), X(3, 2, 4), X(2, 2, 4), call=attended())
    out = I([[False, True, False], [False, False, False]], "b")
    pads = I([[False, False, True], [True, False, False]], "b")
    row("attention_masked", lambda: mha(4, 2, batch_first=True), X(2, 2, 4), X(2, 3, 4), out, pads,
        call=lambda m, q, k, o, p: m(q, k, k, attn_mask=o, key_padding_mask=p, need_weights=False)[0])
    def added(m, q, k, o, p):  # the padding as numbers: a bool one beside an added mask is deprecated
        p = torch.zeros(p.shape).masked_fill(p, -math.inf)
        return m(q, k, k, attn_mask=o + causal(3), key_padding_mask=p, need_weights=False)[0]
    row("attention_added", lambda: mha(4, 2, batch_first=True), X(2, 3, 4), X(2, 3, 4), X(3, 3),
        I([[False, False, True], [False, True, False]], "b"), call=added)
    row("attention_grouped", lambda: Grouped(8, 4, 2), X(2, 3, 8))
    row("attention_rotary", lambda: mha(8, 2), X(3, 2, 8), call=rotary_attention)
    row("encoder_layer", lambda: layer(4, 2, 5, 0.0), X(3, 2, 4), I([[False, False, True], [False, False, False]], "b"),
        call=lambda m, x, p: m(x, src_key_padding_mask=p))
    row("encoder_layer_first", lambda: layer(4, 2, 5, 0.0, "gelu", 1e-3, True, True, False), X(2, 3, 4),
        call=lambda m, x: m(x, causal(3)))
    row("encoder_layer_dropout", lambda: layer(4, 2, 3, 0.3), X(3, 2, 4), modes="E")
    row("decoder_layer", lambda: dlayer(4, 2, 5, 0.0), X(2, 2, 4), X(3, 2, 4))
    row("decoder_layer_first", lambda: dlayer(4, 2, 5, 0.0, batch_first=True, norm_first=True), X(2, 2, 4), X(2, 3, 4),
        I([[False, False, True], [False, False, False]], "b"),
        call=lambda m, x, y, p: m(x, y, tgt_mask=causal(2), memory_key_padding_mask=p))
    row("encoder", lambda: stack(layer(4, 2, 3, 0.0), 2, nn.LayerNorm(4)), X(3, 2, 4))
    row("encoder_no_norm", lambda: stack(layer(4, 2, 3, 0.0), 1), X(3, 2, 4))
    row("decoder", lambda: dstack(dlayer(4, 2, 3, 0.0), 2, nn.LayerNorm(4)), X(2, 2, 4), X(3, 2, 4))
    row("transformer", lambda: nn.Transformer(4, 2, 1, 2, 3, 0.0), X(3, 2, 4), X(2, 2, 4),
        call=lambda m, s, t: m(s, t, tgt_mask=causal(2)))
    row("sinusoidal", lambda: Sinusoidal(10000.0), X(5, 2, 6))
    row("sinusoidal_first", lambda: Sinusoidal(100.0, 3, True), X(2, 3, 4))
    row("learned", lambda: nn.Embedding(5, 4), X(3, 2, 4), call=lambda m, x: x + m.weight[:3, None])
    row("learned_first", lambda: nn.Embedding(7, 4), X(2, 3, 4), call=lambda m, x: x + m.weight[3:6])
    row("rotary", lambda: Fn(lambda x: turn(x, 0, 10000.0, False)), X(2, 2, 3, 4))
    row("rotary_interleaved", lambda: Fn(lambda x: turn(x, 3, 100.0, True)), X(2, 3, 4))


class Lora(nn.Linear):
    def __init__(self, inputs, outputs, rank, alpha):
        super().__init__(inputs, outputs)
        self.lora_A, self.lora_B = nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=False)
        self.scale = alpha / rank

    def forward(self, x):
        return super().forward(x) + self.scale * self.lora_B(self.lora_A(x))


def computed():
    P = nn.utils.parametrizations
    row("lora", lambda: Lora(5, 3, 2, 3), X(4, 5))
    row("weight_norm", lambda: P.weight_norm(nn.Linear(3, 4)), X(2, 3))
    row("weight_norm_whole", lambda: P.weight_norm(nn.Conv1d(2, 3, 2), dim=None), X(1, 2, 4))
    row("weight_norm_columns", lambda: P.weight_norm(nn.Bilinear(2, 3, 2), dim=2), X(2, 2), X(2, 3))
    row("weight_norm_lstm", lambda: P.weight_norm(P.weight_norm(nn.LSTM(2, 2), "weight_hh_l0"), "weight_ih_l0"), X(3, 2, 2),
        call=states)
    row("spectral_norm", lambda: P.spectral_norm(nn.Linear(3, 4)), X(2, 3), modes="TE")
    row("spectral_norm_conv", lambda: P.spectral_norm(nn.ConvTranspose1d(2, 3, 2, bias=False), n_power_iterations=3, eps=1e-6),
        X(1, 2, 4), modes="TE")


def losses():
    w = torch.ones
    targets, chances = I([3, 1, 0]), X(2, 3, lo=0.1, hi=0.9)
    row("cross_entropy", lambda: nn.CrossEntropyLoss(w(4), label_smoothing=0.1), X(3, 4), targets)
    row("cross_entropy_plain", lambda: nn.CrossEntropyLoss(reduction="none", ignore_index=1), X(3, 4), targets)
    row("nll_loss", lambda: nn.NLLLoss(w(4), reduction="sum"), X(3, 4, lo=-3.0, hi=-0.1), targets)
    row("bce_loss", lambda: nn.BCELoss(w(3)), chances, chances)
    row("bce_with_logits", lambda: nn.BCEWithLogitsLoss(w(3), pos_weight=w(3)), X(2, 3, lo=-2.0, hi=2.0), chances)
    row("multi_margin_loss", lambda: nn.MultiMarginLoss(2, 0.8, w(4)), X(3, 4), targets)
    row("multilabel_soft_margin_loss", lambda: nn.MultiLabelSoftMarginLoss(w(3), reduction="sum"), X(2, 3), chances)
    row("mse_loss", nn.MSELoss, X(2, 3), X(2, 3))
    row("huber_loss", lambda: nn.HuberLoss(delta=0.4), X(3, 4), X(3, 4))
    row("smooth_l1_loss", lambda: nn.SmoothL1Loss(beta=0.3, reduction="sum"), X(3, 4), X(3, 4))
    row("kl_div", lambda: nn.KLDivLoss(reduction="sum", log_target=True), X(2, 3), X(2, 3))
    row("poisson_nll_loss", lambda: nn.PoissonNLLLoss(False, True, eps=1e-3), X(2, 3, lo=0.5, hi=3.0), X(2, 3, lo=1.5, hi=5.0))
    row("cosine_similarity", lambda: nn.CosineSimilarity(1, 1e-3), X(2, 3, 2), X(2, 3, 2))
    row("pairwise_distance", lambda: nn.PairwiseDistance(3, 1e-4, True), X(4, 3), X(4, 3))
    adaptive = nn.AdaptiveLogSoftmaxWithLoss
    row("adaptive_softmax", lambda: adaptive(8, 12, [3, 7], div_value=2.0), X(6, 8), I([0, 11, 4, 2, 7, 3]))
    row("adaptive_softmax_head", lambda: adaptive(5, 9, [4], head_bias=True), X(2, 5), I([1, 3]))
    row("adaptive_softmax_alone", lambda: adaptive(5, 9, [4]), X(5), I(6))
    row("adaptive_softmax_all", lambda: adaptive(8, 12, [3, 7], div_value=2.0, head_bias=True), X(3, 8), call=lambda m, x: m.log_prob(x))
    row("soft_margin_loss", lambda: Fn(lambda x, y: torch.log1p(torch.exp(-y * x))), X(2, 3), X(2, 3))


FAMILIES = [activations, affine, norms, spatial, containers, recurrent, attention, computed, losses]

if __name__ == "__main__":
    for family in FAMILIES:
        family()
    with open(os.path.join(HERE, "nn_layers.def"), "w") as f:
        f.write(f"/* Written by tests/reference/nn_layers.py with PyTorch {torch.__version__.split('+')[0]}; not to be edited. */\n")
        f.writelines(WRITTEN)
