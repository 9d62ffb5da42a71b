#!/usr/bin/env python3
"""Writes core/ops/PYTORCH.md, which says what a PyTorch name is called in Tern, from the headers and the pairs below.

    tests/pytorch_names.py             writes it (with PyTorch at hand also checks that its names exist)
    tests/pytorch_names.py --check     fails if the page is not what the headers give, or an op has no line

An op whose name is PyTorch's needs no pair: torch.X, torch.Tensor.X, torch.linalg.X, torch.nn.functional.X."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import api  # noqa: E402
import coverage  # noqa: E402

PAGE = os.path.join(api.ROOT, "core", "ops", "PYTORCH.md")
NAMES = os.path.join(api.ROOT, "tests", "reference", "pytorch_names.txt")


def load_pairs():
    """Lines "tern_name torch.name[, torch.name]"; "-" for what PyTorch has no name for, then a word on it."""
    pairs = {}
    with open(NAMES, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, rest = line.split(None, 1)
                pairs[name] = rest.strip()
    return pairs


def resolve(name):
    import torch
    at = torch
    for part in name.split(".")[1:]:
        at = getattr(at, part)
    return at


def guess(op):
    """The first of PyTorch's places that has the name."""
    for place in ("torch.", "torch.nn.functional.", "torch.linalg.", "torch.special.", "torch.Tensor."):
        try:
            resolve(place + op)
            return place + op
        except AttributeError:
            continue
    return None


def page(pairs):
    lines, missing = ["# From PyTorch's names to Tern's", "",
                      "Written by `tests/pytorch_names.py`; do not edit. In alphabetical order of PyTorch's names within a",
                      "family; options that differ are said in the headers. `x.f(y)` is `torch.f(x, y)` here as there.", ""], []
    for header, title in coverage.FAMILIES:
        ops = coverage.ops().get(header)
        if not ops:
            continue
        rows = []
        for f in ops:
            torch_name = pairs.get(f.name)
            if torch_name is None:
                missing.append(f.name)
                continue
            rows.append((torch_name.lstrip("- ").lower(), f"| {torch_name} | `{f.name}` |"))
        lines += [f"## {title}", "", "| PyTorch | Tern |", "|---|---|"] + [r for _, r in sorted(rows)] + [""]
    return "\n".join(lines), missing


def main():
    pairs = load_pairs() if os.path.exists(NAMES) else {}
    names = {f.name for fs in coverage.ops().values() for f in fs}
    wrong = [f"{n}: is in tests/reference/pytorch_names.txt but in no header" for n in sorted(set(pairs) - names)]
    if "--check" not in sys.argv:
        import torch  # noqa: F401
        for fs in coverage.ops().values():
            for f in fs:
                if f.name not in pairs:
                    bare = f.name[5:]
                    found = guess(bare) or (guess(bare.rstrip("_")) and guess(bare.rstrip("_")) + "_")
                    if found:
                        pairs[f.name] = found
        for n, t in pairs.items():
            for one in t.split("(")[0].split(","):
                one = one.strip()
                if one.startswith("torch.") and " " not in one:
                    try:
                        resolve(one)
                    except AttributeError:
                        try:
                            resolve("torch.Tensor." + one.split(".")[-1])
                            pairs[n] = "torch.Tensor." + one.split(".")[-1]
                        except AttributeError:
                            wrong.append(f"{n}: PyTorch has no {one}")
        with open(NAMES, "w", encoding="utf-8") as f:
            f.write("# tern_name torch.name; read by tests/pytorch_names.py, which also adds the names that agree.\n")
            f.writelines(f"{n} {t}\n" for n, t in sorted(pairs.items()) if n in names)
    text, missing = page(pairs)
    wrong += [f"{m}: no PyTorch name; add a line to tests/reference/pytorch_names.txt" for m in missing]
    if "--check" in sys.argv:
        with open(PAGE, encoding="utf-8") as f:
            if f.read() != text:
                wrong.append("core/ops/PYTORCH.md is old: run tests/pytorch_names.py")
    else:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(text)
    for w in wrong:
        print(w)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
