"""Writes scaler.def beside itself: what training with PyTorch's GradScaler comes to where some gradients are not finite,
for tests/scaler.c. Run it again only to add cases; the results are part of the repository.

    python3 tests/reference/scaler.py          (needs PyTorch; made with 2.15 on the CPU)

The problem, of which nothing is stored: element i of p [7] starts at cos(i + 1), and the loss of step k = 0, 1, ... is
the sum of p (0.5 (0.5 + 0.1 i) p + sin(1 + 0.7 i + 0.3 k)), times infinity in the steps BAD and times NaN in step 17."""
import os

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = f"/* Written by tests/reference/scaler.py with PyTorch {torch.__version__.split('+')[0]}; not to be edited. */\n"
STEPS, BAD = 24, (3, 9, 10)
CASES = [
    ("sgd", "tern_sgd_new(m, 0.1, (tern_sgd_opts){.momentum = 0.9})", lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), 0, 2.0, 0.5),
    ("adamw", "tern_adamw_new(m, 0.05, (tern_adamw_opts){0})", lambda p: torch.optim.AdamW(p, 0.05), 0, 2.0, 0.5),
    ("adam_clipped", "tern_adam_new(m, 0.05, (tern_adam_opts){0})", lambda p: torch.optim.Adam(p, 0.05), 0.7, 2.0, 0.5),
    ("nadam_odd", "tern_nadam_new(m, 0.05, (tern_nadam_opts){0})", lambda p: torch.optim.NAdam(p, 0.05), 0, 1.7, 0.3),
]


def train(make, clip, growth, backoff):
    i = torch.arange(7, dtype=torch.float64)
    p = torch.cos(i + 1).float().requires_grad_()
    o = make([p])
    s = torch.amp.GradScaler("cpu", init_scale=65536.0, growth_factor=growth, backoff_factor=backoff, growth_interval=4)
    scales = []
    for k in range(STEPS):
        o.zero_grad()
        loss = (p * ((0.25 + 0.05 * i).float() * p + torch.sin(1 + 0.7 * i + 0.3 * k).float())).sum()
        loss = loss * (float("nan") if k == 17 else float("inf") if k in BAD else 1.0)
        s.scale(loss).backward()
        if clip:
            s.unscale_(o)
            torch.nn.utils.clip_grad_norm_([p], clip)
        s.step(o)
        s.update()
        scales.append(s.get_scale())
    return scales, p.detach().tolist()


def numbers(values):
    return "{" + ", ".join(repr(float(v)) for v in values) + "}"


with open(os.path.join(HERE, "scaler.def"), "w", encoding="utf-8") as out:
    out.write(HEAD)
    for name, c, make, clip, growth, backoff in CASES:
        scales, after = train(make, clip, growth, backoff)
        out.write(f"SCALER_CASE({name}, {c}, {clip}, {growth}, {backoff},\n    ({numbers(scales)}),\n    ({numbers(after)}))\n")
