#!/usr/bin/env python3
"""bench-conv2d beside PyTorch on the CPU, in one run, turn by turn: medians and their ratios.

    benchmarks/peers/conv2d.py --build build/release [--rounds 3] [--out FILE.md] [TEXT]

Needs PyTorch. Both use the same number of threads (TERN_THREADS, or all). Only shapes and models with TEXT in their
names. Ratios are speeds, Tern's by PyTorch's: above 1 Tern is faster."""
import argparse
import math
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

KINDS = ("forward", "input", "weight")


def median_of(once, budget=0.05, most=41):
    once()
    times = []
    while len(times) < most and (not times or sum(times) < budget):
        start = time.perf_counter()
        once()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def convolution(sizes, kind):
    n, c, o, size, kernel, stride, pad, groups = sizes
    x, w = torch.randn(n, c, size, size), torch.randn(o, c // groups, kernel, kernel)
    gy = torch.randn(n, o, *2 * [(size + 2 * pad - kernel) // stride + 1])
    if kind == 0:
        return lambda: F.conv2d(x, w, None, stride, pad, 1, groups)
    mask = [kind == 1, kind == 2, False]
    return lambda: torch.ops.aten.convolution_backward(gy, x, w, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0],
                                                       groups, mask)


def model_step(channels, size, hidden):
    last = 64 * (size // 4) ** 2
    tail = [nn.Linear(last, hidden), nn.ReLU(), nn.Linear(hidden, 10)] if hidden else [nn.Linear(last, 10)]
    net = nn.Sequential(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), *tail)
    adam = torch.optim.Adam(net.parameters(), 1e-3)
    x, y = torch.randn(64, channels, size, size), torch.randint(0, 10, (64,))

    def once():
        adam.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        adam.step()
        loss.item()
    return once


class Peer:
    """bench-conv2d --serve."""

    def __init__(self, program):
        self.server = subprocess.Popen([program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                       bufsize=1)

    def ask(self, line):
        self.server.stdin.write(line + "\n")
        seconds = float(self.server.stdout.readline())
        if seconds < 0:
            raise SystemExit(f"bench-conv2d fails: {line}")
        return seconds


def compare(peer, question, once, rounds):
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(peer.ask(question))
        theirs.append(median_of(once))
    return statistics.median(mine), statistics.median(theirs)


def mean(ratios):
    return math.exp(statistics.mean(map(math.log, ratios)))


def head(program, threads):
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    info = subprocess.run([program, "--quick"], capture_output=True, text=True, check=True).stdout.splitlines()
    about = [l.strip() for l in info[1:5] if "instruction set" in l]
    return [f"# conv2d beside PyTorch {torch.__version__} on the CPU", "",
            f"{time.strftime('%Y-%m-%d')}, {cpu}, {threads} threads, {about[0] if about else '?'};",
            f"`benchmarks/peers/conv2d.py {' '.join(sys.argv[1:])}`. f32; medians of alternating rounds, ms; a ratio is",
            "Tern's speed by PyTorch's: above 1 Tern is faster.", ""]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default="build/release")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--out")
    p.add_argument("text", nargs="?", default="")
    args = p.parse_args()
    program = os.path.join(args.build, "benchmarks", "bench-conv2d")
    threads = int(os.environ.get("TERN_THREADS", len(os.sched_getaffinity(0))))
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    listed = [l.split("\t") for l in subprocess.run([program, "--list"], capture_output=True, text=True,
                                                    check=True).stdout.splitlines()]
    lines = head(program, threads) + ["| shape | N | " + " | ".join(f"{k} Tern / PyTorch | ratio" for k in KINDS) + " |",
                                      "|---|---|" + "---|---|" * len(KINDS)]
    peer, ratios, steps = Peer(program), [[] for _ in KINDS], []
    for what, kind in ((w, [l for l in listed if l[0] == w]) for w in ("shape", "model")):
        for i, (_, name, numbers) in enumerate(kind):
            if args.text not in name:
                continue
            sizes = [int(v) for v in numbers.split()]
            if what == "model":
                m, t = compare(peer, f"step {i}", model_step(*sizes), args.rounds)
                steps.append(f"{name}: a step {m * 1e3:.2f} ms, {64 / m:.0f} images/s; PyTorch {t * 1e3:.2f} ms, "
                             f"{64 / t:.0f}; ratio {t / m:.2f}")
                print(steps[-1], flush=True)
                continue
            cells = []
            for k in range(len(KINDS)):
                m, t = compare(peer, f"{i} {k}", convolution(sizes, k), args.rounds)
                ratios[k].append(t / m)
                cells.append(f"{m * 1e3:.3f} / {t * 1e3:.3f} | {t / m:.2f}")
            lines.append(f"| {name} | {sizes[0]} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    for k, r in zip(KINDS, ratios):
        if r:
            steps.insert(0, f"{k}: geometric mean {mean(r):.2f}, least {min(r):.2f}")
            print(steps[0])
    text = "\n".join(lines + [""] + [f"- {s}" for s in steps]) + "\n"
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            f.write(text)


if __name__ == "__main__":
    main()
