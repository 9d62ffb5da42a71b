"""Writes layers.def, optim.def and schedule.def beside itself: values of PyTorch that tests/nn_layers.c and
tests/optim.c compare with. Run it again only to add cases; the results are part of the repository.

    python3 tests/reference/nn.py          (needs PyTorch; made with 2.x on the CPU)
"""
import os
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
torch.manual_seed(20240607)
HEAD = f"/* Written by tests/reference/nn.py with PyTorch {torch.__version__.split('+')[0]}; not to be edited. */\n"


def array(t):
    return "(const double[]){" + ", ".join(repr(float(v)) for v in torch.as_tensor(t).detach().reshape(-1)) + "}"


def shape(t):
    return "{%d, {%s}}" % (t.dim(), ", ".join(map(str, t.shape)))


# ---- layers ----------------------------------------------------------------------------------------------------------

def layer(name, make, module, *x_shape, scale=1.0, steps=1, evaluate=False):
    """One row: parameters and buffers in Tern's order before and after, x, v, y and the gradients of sum(v y)."""
    torch.manual_seed(sum(map(ord, name)))
    floats = lambda d: [(n, t) for n, t in d if t.is_floating_point()]
    params = floats(module.named_parameters())
    buffers = floats(module.named_buffers())
    with torch.no_grad():
        for n, t in params:
            t.copy_(torch.randn_like(t) * 0.5)
        for n, t in buffers:
            t.copy_(torch.rand_like(t) + 0.5)
    before = torch.cat([t.detach().clone().reshape(-1) for _, t in params + buffers] or [torch.zeros(1)])
    module.train(not evaluate)
    x = (torch.randn(*x_shape) * scale).requires_grad_()
    for _ in range(steps):
        y = module(x)
    v = torch.randn_like(y)
    (v * y).sum().backward()
    after = torch.cat([t.detach().reshape(-1) for _, t in buffers] or [torch.zeros(1)])
    grads = torch.cat([t.grad.reshape(-1) for _, t in params] or [torch.zeros(1)])
    n_p, n_b = sum(t.numel() for _, t in params), sum(t.numel() for _, t in buffers)
    return ('{"%s", %s, %s, %d, %d, %d, %s,\n %s,\n %s,\n %s,\n %s,\n %s,\n %s,\n %s,\n %s},\n' % (
        name, make, "true" if evaluate else "false", steps, n_p, n_b, shape(x), array(before), array(after), array(x), shape(y),
        array(v), array(y), array(x.grad), array(grads)))


def layers():
    nn = torch.nn
    rows = [
        layer("linear", "make_linear", nn.Linear(5, 3), 4, 5),
        layer("linear, three dimensions, no bias", "make_linear_no_bias", nn.Linear(5, 3, bias=False), 2, 3, 5),
        layer("conv2d", "make_conv2d", nn.Conv2d(2, 3, 3, padding=1), 2, 2, 5, 4),
        layer("conv2d, all options", "make_conv2d_options",
              nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=2, bias=False), 2, 4, 6, 7),
        layer("max_pool2d", "make_max_pool2d", nn.MaxPool2d(2), 2, 2, 5, 6),
        layer("avg_pool2d", "make_avg_pool2d", nn.AvgPool2d(3, stride=2, padding=1), 2, 2, 5, 6),
        layer("batch_norm", "make_batch_norm", nn.BatchNorm2d(3), 4, 3, 2, 3, steps=3),
        layer("batch_norm, evaluation", "make_batch_norm", nn.BatchNorm2d(3), 4, 3, 2, 3, evaluate=True),
        layer("batch_norm, settings", "make_batch_norm_settings", nn.BatchNorm1d(3, eps=1e-2, momentum=0.3, affine=False),
              6, 3, steps=2),
        layer("batch_norm, no running", "make_batch_norm_no_running", nn.BatchNorm1d(3, track_running_stats=False), 6, 3,
              evaluate=True),
        layer("layer_norm", "make_layer_norm", nn.LayerNorm((3, 4)), 2, 3, 4),
        layer("flatten", "make_flatten", nn.Flatten(), 2, 3, 4),
        layer("leaky_relu", "make_leaky_relu", nn.LeakyReLU(0.2), 3, 4),
        layer("gelu", "make_gelu", nn.GELU(), 3, 4),
        layer("gelu tanh", "make_gelu_tanh", nn.GELU(approximate="tanh"), 3, 4),
        layer("silu", "make_silu", nn.SiLU(), 3, 4),
        layer("sigmoid", "make_sigmoid", nn.Sigmoid(), 3, 4),
        layer("tanh", "make_tanh", nn.Tanh(), 3, 4),
        layer("softplus", "make_softplus", nn.Softplus(), 3, 4),
        layer("relu", "make_relu", nn.ReLU(), 3, 4),
        layer("softmax", "make_softmax", nn.Softmax(dim=1), 3, 4),
    ]
    return HEAD + "static const layer_case layer_cases[] = {\n" + "".join(rows) + "};\n"


# ---- optimizers ------------------------------------------------------------------------------------------------------

X, Y = torch.randn(8, 4), torch.randn(8, 2)
START = [torch.randn(3, 4) * 0.5, torch.randn(3) * 0.1, torch.randn(2, 3) * 0.5, torch.randn(2) * 0.1]
NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]


def run(make, steps, skip=False, clip=None):
    p = [t.clone().requires_grad_() for t in START]
    opt = make(p)
    for k in range(steps):
        opt.zero_grad(set_to_none=True)
        h = torch.tanh(X @ p[0].T + p[1])
        (((h @ p[2].T + p[3]) - Y) ** 2).mean().backward()
        if skip and k % 3 == 0:  # the hidden layer's weight learns in two of three steps only
            p[0].grad = None
        if clip:
            torch.nn.utils.clip_grad_norm_(p, clip)
        opt.step()
    return torch.cat([t.detach().reshape(-1) for t in p])


def optimizers():
    o = torch.optim
    cases = [
        # name, the call in C, PyTorch's, skip, clip
        ("sgd", "sgd", "0.1, (tern_sgd_opts){0}", lambda p: o.SGD(p, 0.1)),
        ("sgd decay", "sgd", "0.1, (tern_sgd_opts){.weight_decay = 0.1}", lambda p: o.SGD(p, 0.1, weight_decay=0.1)),
        ("sgd momentum", "sgd", "0.05, (tern_sgd_opts){.momentum = 0.9}", lambda p: o.SGD(p, 0.05, momentum=0.9)),
        ("sgd dampening", "sgd", "0.05, (tern_sgd_opts){.momentum = 0.9, .dampening = 0.3, .weight_decay = 0.02}",
         lambda p: o.SGD(p, 0.05, momentum=0.9, dampening=0.3, weight_decay=0.02)),
        ("sgd nesterov", "sgd", "0.05, (tern_sgd_opts){.momentum = 0.9, .nesterov = true, .weight_decay = 0.02}",
         lambda p: o.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=0.02)),
        ("sgd dampening, skipped gradients", "sgd", "0.05, (tern_sgd_opts){.momentum = 0.9, .dampening = 0.3}",
         lambda p: o.SGD(p, 0.05, momentum=0.9, dampening=0.3), True),
        ("adam", "adam", "0.01, (tern_adam_opts){0}", lambda p: o.Adam(p, 0.01)),
        ("adam settings", "adam", "0.02, (tern_adam_opts){.beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1}",
         lambda p: o.Adam(p, 0.02, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1)),
        ("adam without first moment", "adam", "0.02, (tern_adam_opts){.beta1 = -1}",
         lambda p: o.Adam(p, 0.02, betas=(0.0, 0.999))),
        ("adam, skipped gradients", "adam", "0.01, (tern_adam_opts){0}", lambda p: o.Adam(p, 0.01), True),
        ("adamw", "adamw", "0.01, (tern_adamw_opts){0}", lambda p: o.AdamW(p, 0.01)),
        ("adamw decay", "adamw", "0.01, (tern_adamw_opts){.weight_decay = 0.3}",
         lambda p: o.AdamW(p, 0.01, weight_decay=0.3)),
        ("adamw no decay", "adamw", "0.01, (tern_adamw_opts){.weight_decay = -1}",
         lambda p: o.AdamW(p, 0.01, weight_decay=0.0)),
        ("sgd clipped", "sgd", "0.5, (tern_sgd_opts){0}", lambda p: o.SGD(p, 0.5), False, 0.3),
        ("adamw groups", "adamw_groups", "0.01, (tern_adamw_opts){.weight_decay = 0.1}",
         lambda p: o.AdamW([{"params": [p[2]]},
                            {"params": [p[1], p[3]], "weight_decay": 0.0},
                            {"params": [p[0]], "lr": 0.001, "weight_decay": 0.1}], 0.01, weight_decay=0.1)),
    ]
    calls, rows = "", ""
    for i, case in enumerate(cases):
        name, call, args, make = case[:4]
        skip, clip = (list(case[4:]) + [False, None])[:2] if len(case) > 4 else (False, None)
        calls += f"static tern_optim *optim_make_{i}(tern_module *m) {{ return make_{call}(m, {args}); }}\n"
        rows += '{"%s", optim_make_%d, %s, %s,\n %s,\n %s},\n' % (
            name, i, "true" if skip else "false", clip or 0, array(run(make, 1, skip, clip)), array(run(make, 20, skip, clip)))
    return (HEAD + f"static const double optim_x[] = {array(X)[16:]};\nstatic const double optim_y[] = {array(Y)[16:]};\n"
            + f"static const double optim_start[] = {array(torch.cat([t.reshape(-1) for t in START]))[16:]};\n"
            + calls + "static const optim_case optim_cases[] = {\n" + rows + "};\n")


# ---- schedules -------------------------------------------------------------------------------------------------------

def schedule(lr, steps, warmup, rest):
    s = torch.optim.lr_scheduler
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
    after = rest(s, opt)
    sched = after
    if warmup:
        rise = s.LinearLR(opt, start_factor=1 / warmup, total_iters=max(warmup - 1, 1)) if warmup > 1 else \
            s.ConstantLR(opt, factor=1.0, total_iters=1)
        sched = s.SequentialLR(opt, [rise, after], milestones=[warmup])
    out = []
    for _ in range(steps):
        out.append(opt.param_groups[0]["lr"])
        opt.step()
        sched.step()
    return torch.tensor(out)


def schedules():
    flat = lambda s, o: s.ConstantLR(o, factor=1.0, total_iters=1)
    cases = [
        ("constant", "{.lr = 0.3}", 0.3, 10, 0, flat),
        ("constant, warm-up", "{.lr = 0.3, .warmup = 4}", 0.3, 10, 4, flat),
        ("cosine", "{.kind = TERN_SCHEDULE_COSINE, .lr = 0.3, .total = 20}", 0.3, 21, 0,
         lambda s, o: s.CosineAnnealingLR(o, 20)),
        ("cosine, warm-up, end", "{.kind = TERN_SCHEDULE_COSINE, .lr = 0.3, .min_lr = 0.01, .warmup = 5, .total = 25}", 0.3,
         26, 5, lambda s, o: s.CosineAnnealingLR(o, 20, eta_min=0.01)),
        ("step", "{.kind = TERN_SCHEDULE_STEP, .lr = 0.3, .step_size = 3, .gamma = 0.5}", 0.3, 20, 0,
         lambda s, o: s.StepLR(o, 3, gamma=0.5)),
        ("step, warm-up", "{.kind = TERN_SCHEDULE_STEP, .lr = 0.3, .warmup = 4, .step_size = 3, .gamma = 0.5}", 0.3, 20, 4,
         lambda s, o: s.StepLR(o, 3, gamma=0.5)),
    ]
    rows = ""
    for name, text, lr, steps, warmup, rest in cases:
        values = schedule(lr, steps, warmup, rest)
        rows += '{"%s", %s, %d, %s},\n' % (name, text, steps, array(values))
    return HEAD + "static const schedule_case schedule_cases[] = {\n" + rows + "};\n"


for name, text in (("layers", layers()), ("optim", optimizers()), ("schedule", schedules())):
    with open(os.path.join(HERE, name + ".def"), "w") as f:
        f.write(text)
