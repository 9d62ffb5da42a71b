#!/usr/bin/env python3
"""Runs the tests, notes which op was checked in which dtype (forward, gradient, second gradient), and writes the table
core/ops/COVERAGE.md. An op is a function of the op headers; what no check has touched is seen as such.

    tests/coverage.py --build build/release            runs the tests, writes the table
    tests/coverage.py --build build/release --check    runs the tests; fails if an op is not covered, or the table is old

Forward: compared with a reference in float64 that was written independently. Gradient: gradcheck by differences in f64,
the other dtypes against f64. Second: gradgradcheck in f64. "-": none exists (integers, comparisons, indices, steps)."""
import argparse
import collections
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import api  # noqa: E402

TABLE = os.path.join(api.ROOT, "core", "ops", "COVERAGE.md")
FAMILIES = [("pointwise.h", "Elementwise"), ("shape.h", "Shape"), ("index.h", "Index"), ("reduce.h", "Reductions, scans, sorting"),
            ("linalg.h", "Linear algebra"), ("conv.h", "Convolution and pooling"), ("norm.h", "Normalisation, softmax, dropout"),
            ("sequence.h", "Embedding, attention, recurrence"), ("image.h", "Images"), ("loss.h", "Losses and distances"),
            ("create.h", "Creation"), ("random.h", "Random numbers"), ("update.h", "Parameter updates")]
ORDER = ["f64", "f32", "f16", "bf16", "i64", "i32", "u8", "bool"]
# Functions of these headers that are no ops.
NOT_OPS = {"tern_seed", "tern_random_get", "tern_random_set", "tern_philox4x32", "tern_random_u32", "tern_random_below",
           "tern_random_double"}
CREATION = {"tern_empty", "tern_zeros", "tern_ones", "tern_full", "tern_scalar", "tern_arange", "tern_empty_like",
            "tern_zeros_like", "tern_ones_like", "tern_from", "tern_wrap", "tern_cast", "tern_to", "tern_to_host"}


def notes(build):
    seen = collections.defaultdict(lambda: collections.defaultdict(set))
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "TERN_COVERAGE": folder}
        for program in sorted(glob.glob(os.path.join(build, "tests", "test-*"))):
            if not os.access(program, os.X_OK) or os.path.basename(program) == "test-nonsense":
                continue
            r = subprocess.run([program], env=env, capture_output=True, text=True)
            if r.returncode:
                sys.exit(f"{program} fails:\n{r.stderr[-2000:]}")
        for f in glob.glob(os.path.join(folder, "*")):
            with open(f, encoding="utf-8") as lines:
                for line in set(lines):
                    op, dtype, what = line.split()
                    seen[op.split("__")[0]][what].add(dtype)
    return seen


def ops():
    functions, _, _, _ = api.parse()
    by_header = collections.defaultdict(list)
    for f in functions:
        if f.name in NOT_OPS:
            continue
        if f.header == "tensor.h":
            if f.name in CREATION:
                by_header["create.h"].append(f)
        else:
            by_header[f.header].append(f)
    return by_header


def elsewhere(op, seen):
    """Where else an op's values are checked: with its row (in-place forms, by tests/sweep.c), or in a test of its own."""
    rows = open(os.path.join(api.ROOT, "core", "elementwise.def"), encoding="utf-8").read()
    if op.endswith("_") and re.search(rf"^TERN_\w+\s*\(\s*{op[:-1]}\s*,", rows, re.M) and op[:-1] in seen:
        return f"with {op[:-1]}"
    files = []
    for f in sorted(glob.glob(os.path.join(api.ROOT, "tests", "*.c")) + glob.glob(os.path.join(api.ROOT, "tests", "cases", "*.c"))):
        with open(f, encoding="utf-8") as file:
            text = file.read()
        stored = "/cases/" not in f or "../reference/" in text  # tables count where they hold another's values
        if stored and os.path.basename(f) not in ("nonsense.c", "memory.c") and re.search(rf"tern_{op}\b", text):
            files.append(os.path.relpath(f, api.ROOT))
    return files[0] if files else ""


def cell(dtypes):
    return " ".join(d for d in ORDER if d in dtypes)


def table(seen):
    cuda = "no"  # until the sweep has run on a GPU
    by_header, missing, rows = ops(), [], []
    total = covered = 0
    for header, title in FAMILIES:
        if not by_header.get(header):
            continue
        rows += ["", f"## {title}", "", "| op | forward | gradient | second | CPU | CUDA |", "|---|---|---|---|---|---|"]
        for f in by_header[header]:
            op = f.name[5:]
            s = seen.get(op, {})
            forward, grad, second = (cell(s.get(k, ())) for k in ("forward", "grad", "second"))
            total += 1
            other = "" if forward else elsewhere(op, seen)
            if not forward and other and (op.endswith("_") or header in ("create.h", "random.h", "update.h")):
                grad = grad or "-"
            forward = forward or other
            if forward:
                covered += 1
            else:
                missing.append(f.name)
            none = not grad
            grad = grad or ("-" if "no-grad" in s or header in ("create.h", "random.h", "update.h") else "")
            second = second or ("-" if "no-second" in s or grad == "-" else "")
            if none and grad == "" and forward and not other:
                missing.append(f"{f.name} (gradient)")
            rows.append(f"| {op} | {forward} | {grad} | {second} | {'yes' if forward else 'not checked'} | {cuda} |")
    head = ["# What is checked of every op", "",
            "Written by `tests/coverage.py` from what the tests checked; do not edit. Forward: against an independent float64",
            "reference, where dtypes stand; else in the test that is named, or with the row of which the op is the in-place form.",
            "Gradient: gradcheck in f64, other dtypes against f64. Second: gradgradcheck in f64. `-`: none exists.",
            "", f"{total} public functions, {covered} with a checked forward."]
    return "\n".join(head + rows) + "\n", missing


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", default="build/release")
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    text, missing = table(notes(args.build))
    for m in missing:
        print(f"not covered: {m}")
    if not args.check:
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write(text)
        print(text.split("\n\n")[2])
        return 0
    try:
        with open(TABLE, encoding="utf-8") as f:
            old = f.read() != text
    except FileNotFoundError:
        old = True
    if old:
        print("core/ops/COVERAGE.md is not what the tests give: run tests/coverage.py")
    return 1 if missing or old else 0


if __name__ == "__main__":
    sys.exit(main())
