"""Reads a checkpoint of Tern's with h5py and compares every tensor, bit for bit, with what Tern itself prints.

    python3 tests/reference/h5py_check.py BUILD        (BUILD: where Tern was built; needs h5py, NumPy and a C compiler)
"""
import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np

TYPES = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "bf16": "<u2", "i64": "<i8", "i32": "<i4", "u8": "|u1", "bool": "|u1"}


def text(attributes, name, default):
    """Fixed-length UTF-8, which h5py gives as bytes."""
    value = attributes.get(name, default)
    return value.decode() if isinstance(value, bytes) else value


here, build = os.path.dirname(os.path.abspath(__file__)), os.path.abspath(sys.argv[1])

with tempfile.TemporaryDirectory() as folder:
    program, path = os.path.join(folder, "print"), os.path.join(folder, "x.h5")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", os.path.join(here, "h5py_check.c"), "-o", program,
                    "-I" + build + "/include", "-L" + build, "-ltern", "-Wl,-rpath," + build], check=True)
    lines = subprocess.run([program, path], check=True, capture_output=True, text=True).stdout.splitlines()
    file = h5py.File(path, "r")
    names = []
    for line in lines:
        name, dtype, kind, shape, data = line.split(" ")
        names.append(name)
        found = file[name]
        shape = () if shape == "-" else tuple(int(n) for n in shape.split("x"))
        assert found.dtype == np.dtype(TYPES[dtype]), (name, found.dtype, dtype)
        assert found.shape == shape, (name, found.shape, shape)
        assert found[()].tobytes() == bytes.fromhex("" if data == "-" else data), name
        assert text(found.attrs, "kind", "-") == kind, name
        assert text(found.attrs, "dtype", "") == (dtype if dtype in ("bf16", "bool") else ""), name
        assert found.chunks is None, name
        if dtype == "f16" and found.size > 1:
            assert np.isfinite(found[()]).all() and 0 < np.abs(found[()]).max() < 16, name
    listed = []
    file.visititems(lambda name, o: listed.append("/" + name) if isinstance(o, h5py.Dataset) else None)
    assert sorted(listed) == sorted(names), set(listed) ^ set(names)
    a = file.attrs
    assert (a["epoch"], a["step"], a["loader_batch"], a["loader_seed"]) == (2, 5, 5, 2**64 - 1)
    assert text(a, "user_note", "") == "ä text" and a["user_best"] == 0.25 and a["random_seed"] == 3, dict(a)
    optim = file["/optim"].attrs
    assert (text(optim, "type", ""), optim["lr"], optim["steps"]) == ("adamw", 1e-3, 5), dict(optim)
print("%d tensors agree" % len(names))
