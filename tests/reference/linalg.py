"""Writes linalg.def beside itself: values and gradients of PyTorch (checked against NumPy and SciPy here) that
tests/linalg.c compares with. Run it again only to add cases; the results are part of the repository.

    python3 tests/reference/linalg.py          (needs PyTorch, NumPy, SciPy)
"""
import os

import numpy as np
import scipy.linalg
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
HEAD = (f"/* Written by tests/reference/linalg.py with PyTorch {torch.__version__.split('+')[0]}; not to be edited.\n"
        " * LINALG(name, rows, columns, a, y's ndim and sizes, y, gradient of the sum of y's elements times 1, 2, 3, ...) */\n")


def array(t):
    return "((const double[]){" + ", ".join(repr(float(v)) for v in t.detach().reshape(-1)) + "})"


def row(f, name, a, call, other=None):
    a = a.clone().requires_grad_()
    y = call(a)
    if other is not None:
        np.testing.assert_allclose(y.detach().numpy(), other(a.detach().numpy()), rtol=1e-9, atol=1e-11)
    (y * torch.arange(1.0, y.numel() + 1).reshape(y.shape)).sum().backward()
    shape = "((tern_shape){%d, {%s}})" % (y.dim(), ", ".join(map(str, y.shape)) or "0")
    f.write(f"LINALG({name}, {a.shape[0]}, {a.shape[1]}, {array(a)}, {shape}, {array(y)}, {array(a.grad)})\n")


def main():
    torch.manual_seed(20240607)
    square, tall = torch.randn(4, 4), torch.randn(4, 2)
    definite = square @ square.mT + torch.eye(4)
    la, sla = np.linalg, scipy.linalg
    with open(os.path.join(HERE, "linalg.def"), "w") as f:
        f.write(HEAD)
        row(f, "inverse", square, torch.linalg.inv, la.inv)
        row(f, "det", square, torch.linalg.det, la.det)
        row(f, "logabsdet", square, lambda a: torch.linalg.slogdet(a)[1], lambda a: la.slogdet(a)[1])
        row(f, "cholesky", definite, torch.linalg.cholesky, la.cholesky)
        row(f, "pinv", tall, torch.linalg.pinv, la.pinv)
        row(f, "svdvals", tall, torch.linalg.svdvals, lambda a: la.svd(a)[1])
        row(f, "eigvalsh", definite, torch.linalg.eigvalsh, la.eigvalsh)
        row(f, "qr_r", tall, lambda a: torch.linalg.qr(a)[1], lambda a: la.qr(a)[1])
        row(f, "qr_q", tall, lambda a: torch.linalg.qr(a)[0], lambda a: la.qr(a)[0])
        row(f, "wide_qr_r", tall.mT.contiguous(), lambda a: torch.linalg.qr(a)[1], lambda a: la.qr(a)[1])
        row(f, "matrix_exp", square, torch.linalg.matrix_exp, sla.expm)
        row(f, "matrix_power", square, lambda a: torch.linalg.matrix_power(a, -3), lambda a: la.matrix_power(a, -3))
        row(f, "norm_fro", tall, lambda a: torch.linalg.matrix_norm(a, "fro"), lambda a: la.norm(a, "fro"))
        row(f, "norm_nuc", tall, lambda a: torch.linalg.matrix_norm(a, "nuc"), lambda a: la.norm(a, "nuc"))
        row(f, "norm_two", tall, lambda a: torch.linalg.matrix_norm(a, 2), lambda a: la.norm(a, 2))
        row(f, "norm_minus_two", tall, lambda a: torch.linalg.matrix_norm(a, -2), lambda a: la.norm(a, -2))
        row(f, "norm_one", tall, lambda a: torch.linalg.matrix_norm(a, 1), lambda a: la.norm(a, 1))
        row(f, "norm_inf", tall, lambda a: torch.linalg.matrix_norm(a, torch.inf), lambda a: la.norm(a, np.inf))
        row(f, "cond", square, torch.linalg.cond, la.cond)
        row(f, "kron", tall, lambda a: torch.kron(a, a.mT.contiguous()), lambda a: np.kron(a, a.T))
        row(f, "lstsq", tall, lambda a: torch.linalg.lstsq(a, torch.arange(4.0)[:, None]).solution,
            lambda a: la.lstsq(a, np.arange(4.0)[:, None], rcond=None)[0])


main()
