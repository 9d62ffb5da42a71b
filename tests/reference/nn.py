"""Writes optim.def and schedule.def beside itself: values of PyTorch that tests/optim.c compares with. Run it again only
to add cases; the results are part of the repository.

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


for name, text in (("optim", optimizers()), ("schedule", schedules())):
    with open(os.path.join(HERE, name + ".def"), "w") as f:
        f.write(text)
