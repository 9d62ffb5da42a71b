"""Writes schedule_table.def beside itself: the rates, and momenta, of PyTorch's lr_scheduler classes over 120 steps, for
tests/schedule.c. Run it again only to add cases; the results are part of the repository.

    python3 tests/reference/schedules.py          (needs PyTorch; made with 2.15 on the CPU)"""
import os
import warnings

import torch
from torch.optim import lr_scheduler as S

HERE = os.path.dirname(os.path.abspath(__file__))
warnings.simplefilter("ignore")
HEAD = f"/* Written by tests/reference/schedules.py with PyTorch {torch.__version__.split('+')[0]}; not to be edited. */\n"
STEPS = 120


def metric(k):
    """Falls, stays, falls a little; tests/schedule.c has it too."""
    return [1 / (k + 1), 0.2, 0.19999, 0.1 - k * 1e-3, float("nan") if k % 2 else 0.3][k // 8 % 5]


def array(values):
    return "(const double[]){" + ", ".join(repr(float(v)) for v in values) + "}"


def run(make, lr, steps=STEPS, adam=False, plateau=False):
    p = [torch.zeros(1, dtype=torch.float64, requires_grad=True)]
    o = torch.optim.AdamW(p, lr) if adam else torch.optim.SGD(p, lr, momentum=0.9)
    s = make(o)
    rates, momenta = [], []
    for k in range(steps):
        rates.append(o.param_groups[0]["lr"])
        momenta.append(o.param_groups[0]["betas"][0] if adam else o.param_groups[0]["momentum"])
        o.step()
        if k + 1 < steps:
            s.step(metric(k)) if plateau else s.step()
    return rates, momenta


CASES = [
    # name, settings, make, lr, what else
    ("constant", "{.kind = TERN_SCHEDULE_CONSTANT, .lr = 0.3, .start_factor = 0.25, .total = 30}",
     lambda o: S.ConstantLR(o, 0.25, 30), 0.3, {}),
    ("step", "{.kind = TERN_SCHEDULE_STEP, .lr = 0.3, .step_size = 17, .gamma = 0.6}", lambda o: S.StepLR(o, 17, 0.6), 0.3, {}),
    ("multi-step", "{.kind = TERN_SCHEDULE_MULTI_STEP, .lr = 0.3, .gamma = 0.4, .milestones = {10, 35, 35, 90}, .n_milestones = 4}",
     lambda o: S.MultiStepLR(o, [10, 35, 35, 90], 0.4), 0.3, {}),
    ("exponential", "{.kind = TERN_SCHEDULE_EXPONENTIAL, .lr = 0.3, .gamma = 0.97}", lambda o: S.ExponentialLR(o, 0.97), 0.3, {}),
    ("linear", "{.kind = TERN_SCHEDULE_LINEAR, .lr = 0.3, .total = 40}", lambda o: S.LinearLR(o, total_iters=40), 0.3, {}),
    ("linear, down", "{.kind = TERN_SCHEDULE_LINEAR, .lr = 0.3, .start_factor = 1, .end_factor = -1, .total = 100}",
     lambda o: S.LinearLR(o, 1.0, 0.0, 100), 0.3, {}),
    ("polynomial", "{.kind = TERN_SCHEDULE_POLYNOMIAL, .lr = 0.3, .power = 1.7, .total = 100}",
     lambda o: S.PolynomialLR(o, 100, 1.7), 0.3, {}),
    ("cosine", "{.kind = TERN_SCHEDULE_COSINE, .lr = 0.3, .min_lr = 0.01, .total = 119}",
     lambda o: S.CosineAnnealingLR(o, 119, 0.01), 0.3, {}),
    ("restarts", "{.kind = TERN_SCHEDULE_RESTARTS, .lr = 0.3, .min_lr = 0.01, .period = 25}",
     lambda o: S.CosineAnnealingWarmRestarts(o, 25, 1, 0.01), 0.3, {}),
    ("restarts, growing", "{.kind = TERN_SCHEDULE_RESTARTS, .lr = 0.3, .period = 9, .growth = 2}",
     lambda o: S.CosineAnnealingWarmRestarts(o, 9, 2), 0.3, {}),
    ("one-cycle", "{.kind = TERN_SCHEDULE_ONE_CYCLE, .lr = 0.3, .total = 120, .cycle_momentum = true}",
     lambda o: S.OneCycleLR(o, 0.3, 120), 0.3, {}),
    ("one-cycle, settings", "{.kind = TERN_SCHEDULE_ONE_CYCLE, .lr = 0.3, .total = 120, .div = 10, .final_div = 50, .rise = 0.4, "
     ".linear = true, .three_phase = true, .cycle_momentum = true, .low_momentum = 0.7, .high_momentum = 0.99}",
     lambda o: S.OneCycleLR(o, 0.3, 120, pct_start=0.4, anneal_strategy="linear", div_factor=10, final_div_factor=50,
                            three_phase=True, base_momentum=0.7, max_momentum=0.99), 0.3, {"adam": True}),
    ("cyclic", "{.kind = TERN_SCHEDULE_CYCLIC, .lr = 0.3, .min_lr = 0.02, .up = 11, .cycle_momentum = true}",
     lambda o: S.CyclicLR(o, 0.02, 0.3, 11), 0.3, {}),
    ("cyclic, halving", "{.kind = TERN_SCHEDULE_CYCLIC, .lr = 0.3, .min_lr = 0.02, .up = 11, .down = 20, "
     ".wave = TERN_WAVE_TRIANGULAR2, .cycle_momentum = true, .low_momentum = 0.6, .high_momentum = 0.95}",
     lambda o: S.CyclicLR(o, 0.02, 0.3, 11, 20, "triangular2", base_momentum=0.6, max_momentum=0.95), 0.3, {"adam": True}),
    ("cyclic, exp_range", "{.kind = TERN_SCHEDULE_CYCLIC, .lr = 0.3, .min_lr = 0.02, .up = 11, .wave = TERN_WAVE_EXP_RANGE, "
     ".gamma = 0.98}", lambda o: S.CyclicLR(o, 0.02, 0.3, 11, mode="exp_range", gamma=0.98, cycle_momentum=False), 0.3, {}),
    ("plateau", "{.kind = TERN_SCHEDULE_PLATEAU, .lr = 0.3}", lambda o: S.ReduceLROnPlateau(o), 0.3, {"plateau": True}),
    ("plateau, settings", "{.kind = TERN_SCHEDULE_PLATEAU, .lr = 0.3, .min_lr = 1e-3, .plateau = {.factor = 0.5, .patience = 3, "
     ".threshold = 0.01, .absolute = true, .cooldown = 4}}",
     lambda o: S.ReduceLROnPlateau(o, "min", 0.5, 3, 0.01, "abs", 4, 1e-3), 0.3, {"plateau": True}),
    ("plateau, highest", "{.kind = TERN_SCHEDULE_PLATEAU, .lr = 0.3, .plateau = {.factor = 0.5, .patience = -1, .threshold = -1, "
     ".highest = true, .cooldown = 2, .eps = 1e-2}}",
     lambda o: S.ReduceLROnPlateau(o, "max", 0.5, 0, 0, cooldown=2, eps=1e-2), 0.3, {"plateau": True}),
    ("sequential", "{.kind = TERN_SCHEDULE_SEQUENTIAL, .lr = 0.3, .parts = (tern_schedule[]){"
     "{.kind = TERN_SCHEDULE_CONSTANT, .start_factor = 0.1, .total = 20}, {.kind = TERN_SCHEDULE_EXPONENTIAL, .gamma = 0.95}, "
     "{.kind = TERN_SCHEDULE_COSINE, .min_lr = 0.01, .total = 70}}, .n_parts = 3, .milestones = {20, 50}, .n_milestones = 2}",
     lambda o: S.SequentialLR(o, [S.ConstantLR(o, 0.1, 20), S.ExponentialLR(o, 0.95), S.CosineAnnealingLR(o, 70, 0.01)], [20, 50]),
     0.3, {}),
    ("chained", "{.kind = TERN_SCHEDULE_CHAINED, .lr = 0.3, .parts = (tern_schedule[]){"
     "{.kind = TERN_SCHEDULE_CONSTANT, .start_factor = 0.1, .total = 20}, {.kind = TERN_SCHEDULE_EXPONENTIAL, .gamma = 0.95}, "
     "{.kind = TERN_SCHEDULE_STEP, .step_size = 30, .gamma = 0.5}}, .n_parts = 3}",
     lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.1, 20), S.ExponentialLR(o, 0.95), S.StepLR(o, 30, 0.5)]), 0.3, {}),
    ("function", "{.kind = TERN_SCHEDULE_FUNCTION, .lr = 0.3, .function = one_over}",
     lambda o: S.LambdaLR(o, lambda k: 1 / (1 + 0.1 * k)), 0.3, {}),
    ("warm-up, cosine", "{.kind = TERN_SCHEDULE_COSINE, .lr = 0.3, .warmup = 20, .total = 120}",
     lambda o: S.SequentialLR(o, [S.LinearLR(o, 1 / 20, 1, 19), S.CosineAnnealingLR(o, 100)], [20]), 0.3, {}),
]


def row(name, settings, make, lr, more):
    rates, momenta = run(make, lr, **more)
    cycles = "cycle_momentum" in settings
    return '{"%s", %s, %s,\n %s,\n %s},\n' % (name, settings, "true" if more.get("adam") else "false", array(rates),
                                             array(momenta) if cycles else "NULL")


with open(os.path.join(HERE, "schedule_table.def"), "w") as f:
    f.write(HEAD + "static const schedule_case schedule_cases[] = {\n" + "".join(row(*c) for c in CASES) + "};\n")
