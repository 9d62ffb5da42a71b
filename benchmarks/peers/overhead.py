#!/usr/bin/env python3
"""Compares the rows of bench-overhead with PyTorch, in one run, turn by turn: medians and ratios.

    benchmarks/peers/overhead.py --build build/release [--rounds 5] [--threads N] [TEXT]

Needs PyTorch. Ratios are PyTorch's time by Tern's: above 1 Tern is faster."""
import argparse
import os
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F


def element():
    a, b = torch.full((1,), 1.0), torch.full((1,), 1e-6)
    return a, b, torch.ones(1, requires_grad=True)


def no_grad(call):
    def run():
        with torch.no_grad():
            call()
    return run


def mul_backward(n):
    a, _, w = element()

    def call():
        y = w
        for _ in range(n):
            y = y * a
        y.backward()
        w.grad = None
    return call


def linear(backward):
    x = torch.rand(4, 16)
    w, b = torch.rand(16, 16, requires_grad=True), torch.rand(16, requires_grad=True)

    def call():
        F.linear(x, w, b).sum().backward()
        w.grad = b.grad = None
    return call if backward else no_grad(lambda: F.linear(x, w, b))


def mlp(batch, adam, kind):
    net = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    rule, rate = (torch.optim.Adam, 1e-3) if adam else (torch.optim.SGD, 1e-2)
    optim = rule(net.parameters(), lr=rate, **{kind: True} if kind else {})
    x, target = torch.rand(batch, 784), torch.randint(0, 10, (batch,))

    def call():
        F.cross_entropy(net(x), target).backward()
        optim.step()
        optim.zero_grad()
    return call


def rows(kind):
    a, b, w = element()
    yield "add", lambda: a + b
    yield "add_scalar", lambda: a + 2
    yield "relu", lambda: torch.relu(a)
    yield "add_", lambda: a.add_(b)
    yield "sum", lambda: a.sum()
    yield "mul recorded", lambda: w * a
    yield "mul+backward", mul_backward(1)
    yield "10 mul+backward", mul_backward(10)
    yield "linear 4x16x16", linear(False)
    yield "linear 4x16x16+backward", linear(True)
    for name, adam in ("sgd", False), ("adam", True):
        for batch in 1, 8, 64:
            yield f"mlp {name} {batch}", mlp(batch, adam, kind)


def torch_time(call):
    calls, took = 1, 0.0
    while took < 0.01:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        took = time.perf_counter() - start
        calls *= 1 if took >= 0.01 else 2
    times = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls)
    return 1e9 * statistics.median(times)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", required=True)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=0, help="0: all")
    p.add_argument("--kind", default="", choices=["", "foreach", "fused"], help="PyTorch's form of the optimizers")
    p.add_argument("text", nargs="?", default="", help="rows whose name contains it")
    args = p.parse_args()
    program = os.path.join(args.build, "benchmarks", "bench-overhead")
    env = dict(os.environ)
    if args.threads:
        env["TERN_THREADS"] = str(args.threads)
        torch.set_num_threads(args.threads)
    calls = {name: call for name, call in rows(args.kind) if args.text in name}
    tern, peer = {name: [] for name in calls}, {name: [] for name in calls}
    for _ in range(args.rounds):
        out = subprocess.run([program, "--quick", args.text], env=env, capture_output=True, text=True, check=True).stdout
        for line in out.splitlines():
            cells = [c.strip() for c in line.split("\t")]
            if cells[0] in tern:
                tern[cells[0]].append(float(cells[1]))
        for name, call in calls.items():
            peer[name].append(torch_time(call))
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {args.rounds} rounds")
    print(f"| row | Tern, ns | PyTorch, ns | ratio |\n|---|--:|--:|--:|")
    for name in calls:
        t, q = statistics.median(tern[name]), statistics.median(peer[name])
        print(f"| {name} | {t:.0f} | {q:.0f} | {q / t:.2f} |")


main()
