#!/usr/bin/env python3
"""Compares the rows of bench-loader with PyTorch's DataLoader, in one run, turn by turn: medians and ratios.

    benchmarks/peers/loader.py --build build/release [--rounds 3] [--workers 2]

Needs PyTorch. plain: a map-style dataset, the usual collate function; batched: torch's fastest way, a dataset that gives a
whole batch at once (__getitems__) by indexing one tensor."""
import argparse
import os
import statistics
import subprocess
import time

import torch
from torch.utils.data import DataLoader, Dataset

N, PIXELS = 60000, 28 * 28


class Plain(Dataset):
    def __init__(self):
        self.x = torch.randint(0, 256, (N, 1, 28, 28), dtype=torch.uint8)
        self.y = torch.arange(N) % 10

    def __len__(self):
        return N

    def __getitem__(self, i):
        return self.x[i].float().mul_(1 / (255 * 0.3081)).sub_(0.1307 / 0.3081), self.y[i]


class Batched(Plain):
    def __getitems__(self, index):
        i = torch.as_tensor(index)
        return self.x[i].float().mul_(1 / (255 * 0.3081)).sub_(0.1307 / 0.3081), self.y[i]


def torch_speed(kind, workers, seconds=0.5, most=4.0):
    data = Batched() if kind == "batched" else Plain()
    loader = DataLoader(data, batch_size=64, shuffle=True, num_workers=workers, persistent_workers=workers > 0,
                        collate_fn=(lambda b: b) if kind == "batched" else None)
    it = iter(loader)
    for _ in range(20):
        next(it)
    n, start = 0, time.perf_counter()
    for x, _ in it:
        n += len(x)
        if time.perf_counter() - start > most:
            break
    return n / (time.perf_counter() - start)


def tern_speed(bench, row, workers):
    out = subprocess.run([bench, "--row", row, "--workers", str(workers)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(out.split()[-2])


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--workers", type=int, default=2)
    a = p.parse_args()
    bench = os.path.join(a.build, "benchmarks", "bench-loader")
    torch.set_num_threads(1)
    runs = {}
    for _ in range(a.rounds):
        for row in "plain", "stack", "augment":
            runs.setdefault(f"Tern {row}", []).append(tern_speed(bench, row, a.workers))
        for row in "plain", "batched":
            runs.setdefault(f"torch {row}", []).append(torch_speed(row, a.workers))
    base = statistics.median(runs["torch plain"])
    print(f"torch {torch.__version__}, {a.workers} workers, batches of 64, {a.rounds} rounds, medians (range)")
    for name, v in runs.items():
        print(f"{name:14} {statistics.median(v):12,.0f} samples/s ({min(v):,.0f} to {max(v):,.0f})  "
              f"{statistics.median(v) / base:6.1f} x torch plain")


if __name__ == "__main__":
    main()
