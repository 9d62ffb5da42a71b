#!/usr/bin/env python3
"""Compares every BENCH row with PyTorch on the CPU, in one run, turn by turn: medians, and the list of those behind.

    benchmarks/ops.py --build build/release [--rounds 5] [--out FILE.md] [TEXT]

Needs PyTorch. Both use the same number of threads (TERN_THREADS, or all). A row's expression is in tests/cases, beside
its call. Ratios are Tern's time by PyTorch's: below 1 Tern is faster."""
import argparse
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F  # noqa: F401  (for the rows' expressions)

DTYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
          "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}


def rows(program, text):
    out = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        name, what, expression, *inputs = line.split("\t")
        if text in name:
            yield name, what, expression, [i.split() for i in inputs]


def make(spec):
    kind, dtype, lo, hi, grad, *shape = spec
    lo, hi, shape = float(lo), float(hi), [int(s) for s in shape]
    if kind == "none":
        return None
    if kind == "real":
        x = torch.rand(shape) * (hi - lo) + lo
    else:
        x = torch.randint(int(lo), int(hi) + 1, shape)
    return x.to(DTYPES[dtype]), grad == "1"


def torch_time(code, inputs, both):
    names, leaves = dict(zip("abcdefgh", [i and i[0] for i in inputs])), []
    if both:
        for x in inputs:
            if x and x[1]:
                x[0].requires_grad_(True)
                leaves.append(x[0])
    space = {**globals(), **names}

    def first(y):
        return y[0] if isinstance(y, (tuple, list)) else y
    y = first(eval(code, space))
    seed = None
    if both:
        if not leaves or not y.requires_grad:
            return None
        seed = torch.ones_like(y)

    def once():
        r = first(eval(code, space))
        if both:
            torch.autograd.grad(r, leaves, seed, allow_unused=True)
    once()
    start = time.perf_counter()
    once()
    each = time.perf_counter() - start
    calls = max(1, int(2e-3 / (each + 1e-9)))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(calls):
            once()
        times.append((time.perf_counter() - start) / calls)
    for x in leaves:
        x.requires_grad_(False)
    return statistics.median(times)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default="build/release")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--out")
    p.add_argument("text", nargs="?", default="")
    args = p.parse_args()
    program = os.path.join(args.build, "benchmarks", "bench-ops")
    threads = int(os.environ.get("TERN_THREADS", len(os.sched_getaffinity(0))))
    torch.set_num_threads(threads)
    server = subprocess.Popen([program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    results, broken = [], []
    for name, what, expression, specs in rows(program, args.text):
        torch.manual_seed(1)
        code = compile(expression, name, "eval")
        for both in (False, True):
            mine, theirs = [], []
            try:
                for _ in range(args.rounds):
                    server.stdin.write(f"{name} {'both' if both else 'forward'}\n")
                    mine.append(float(server.stdout.readline()))
                    if mine[-1] < 0:
                        break
                    torch.manual_seed(1)
                    theirs.append(torch_time(code, [make(s) for s in specs], both))
                    if theirs[-1] is None:
                        break
            except Exception as e:
                broken.append(f"{name}: PyTorch: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")
                break
            if mine[-1] < 0:
                if not both:
                    broken.append(f"{name}: Tern fails")
                continue
            if theirs[-1] is None:
                continue
            m, th = statistics.median(mine), statistics.median(theirs)
            results.append((m / th, name, what, "both" if both else "forward", m, th))
            print(f"{m / th:6.2f}  {name:28} {'with backward' if both else 'forward':14} {m * 1e6:10.1f} us  "
                  f"PyTorch {th * 1e6:10.1f} us", flush=True)
    server.stdin.close()
    text = report(results, broken, threads)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            f.write(text)
    else:
        print(text)


def report(results, broken, threads):
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    ratios = [r[0] for r in results]
    lines = [f"# Tern and PyTorch {torch.__version__}, op by op, on the CPU", "",
             f"{time.strftime('%Y-%m-%d')}, {cpu}, {threads} threads; `benchmarks/ops.py`. f32 unless a row says otherwise;",
             "medians of alternating rounds; ratio = Tern / PyTorch, below 1 Tern is faster.", ""]
    if ratios:
        lines += [f"{len(results)} measurements of {len({r[1] for r in results})} rows: median ratio "
                  f"{statistics.median(ratios):.2f}, {sum(r <= 1 for r in ratios)} at or below 1, "
                  f"{sum(r > 1.5 for r in ratios)} above 1.5.", ""]
    lines += ["## Slower than PyTorch by more than 1.5", "", "| op | case | | ratio | Tern us | PyTorch us |",
              "|---|---|---|---|---|---|"]

    def line(r):
        return f"| {r[1]} | {r[2]} | {r[3]} | {r[0]:.2f} | {r[4] * 1e6:.1f} | {r[5] * 1e6:.1f} |"
    lines += [line(r) for r in sorted(results, reverse=True) if r[0] > 1.5]
    lines += ["", "## All", "", "| op | case | | ratio | Tern us | PyTorch us |", "|---|---|---|---|---|---|"]
    lines += [line(r) for r in sorted(results, key=lambda r: (r[1], r[3]))]
    if broken:
        lines += ["", "## Not compared", ""] + [f"- {b}" for b in broken]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
