#!/usr/bin/env python3
"""Writes tests/reference/transforms.def: images resized and rotated by Pillow, colours changed by NumPy and colorsys after
torchvision's definitions, and the shares of torch's DistributedSampler.

    tests/reference/transforms.py > tests/reference/transforms.def          (needs NumPy, Pillow, PyTorch)"""
import colorsys

import numpy as np
import PIL
import torch
from PIL import Image

C, H, W = 3, 5, 7
x = np.array([((i * 37 + 11) % 101) / 100 for i in range(C * H * W)], np.float32).reshape(C, H, W)


def planes(f):
    return np.stack([np.asarray(f(Image.fromarray(p, mode="F"))) for p in x])


def row(kind, name, values, shape):
    text = ", ".join(f"{v:.9g}" for v in np.asarray(values, np.float64).ravel())
    print(f"TRANSFORM({kind}, {name}, {', '.join(str(s) for s in shape)}, {text})")


def grey(v):
    return 0.2989 * v[0] + 0.587 * v[1] + 0.114 * v[2]


def hue(v, by):
    out = np.empty_like(v)
    for i in range(H):
        for j in range(W):
            h, s, b = colorsys.rgb_to_hsv(*v[:, i, j])
            out[:, i, j] = colorsys.hsv_to_rgb((h + by) % 1, s, b)
    return out


def main():
    d = x.astype(np.float64)
    print(f"/* Written by transforms.py: Pillow {PIL.__version__}, torch {torch.__version__}, NumPy {np.__version__}. */")
    print("#ifdef TRANSFORM")
    for h, w in (3, 4), (9, 8), (5, 7), (1, 1), (2, 13):
        row("RESIZE", 0, planes(lambda p: p.resize((w, h), Image.Resampling.BILINEAR)), (h, w))
    for angle in 30, -75, 180:
        row("NEAREST", angle, planes(lambda p: p.rotate(angle, Image.Resampling.NEAREST, fillcolor=0.25)), (H, W))
        row("BILINEAR", angle, planes(lambda p: p.rotate(angle, Image.Resampling.BILINEAR, fillcolor=0.25)), (H, W))
    row("BRIGHTNESS", 1.3, np.clip(d * 1.3, 0, 1), (H, W))
    row("CONTRAST", 0.6, np.clip(0.6 * d + 0.4 * grey(d).mean(), 0, 1), (H, W))
    row("SATURATION", 1.7, np.clip(1.7 * d - 0.7 * grey(d), 0, 1), (H, W))
    row("HUE", 0.2, hue(d, 0.2), (H, W))
    row("HUE", -0.4, hue(d, -0.4), (H, W))
    print("#endif\n#ifdef SHARE")
    for n, world in (10, 3), (10, 4), (12, 4), (2, 5), (7, 7):
        for drop in False, True:
            if drop and n < world:
                continue
            for rank in range(world):
                s = torch.utils.data.DistributedSampler(range(n), world, rank, shuffle=False, drop_last=drop)
                print(f"SHARE({n}, {world}, {rank}, {str(drop).lower()}, {', '.join(str(i) for i in s)})")
    print("#endif")


if __name__ == "__main__":
    main()
