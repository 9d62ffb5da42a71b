"""core/image.h."""
import torch
import torch.nn.functional as F
from pytorch_random import Case, left_out, op


def image(g, axes, empty=False):
    return (g.size(empty), g.size(False)) + tuple(g.integer(1, 7) for _ in range(axes))


@op("interpolate")
def _(g):
    axes = g.integer(1, 3)
    mode = g.pick("NEAREST", "NEAREST_EXACT", "LINEAR", "CUBIC", "AREA")
    if mode == "CUBIC":
        axes = 2
    s = image(g, axes, True)
    name = {"NEAREST": "nearest", "NEAREST_EXACT": "nearest-exact", "CUBIC": "bicubic", "AREA": "area",
            "LINEAR": ("linear", "bilinear", "trilinear")[axes - 1]}[mode]
    align = g.chance(0.4) if mode in ("LINEAR", "CUBIC") else None
    anti = mode in ("LINEAR", "CUBIC") and axes == 2 and g.chance(0.4)
    opts = {"mode": g.enum("TERN_" + mode), "align_corners": bool(align), "antialias": anti}
    torch_opts = {"mode": name, "align_corners": align, "antialias": anti}
    if g.chance(0.5):
        # with antialias PyTorch repeats the first row where the last axis becomes one element
        size = [g.integer(2 if anti else 1, 12) for _ in range(axes)]
        opts["size"] = torch_opts["size"] = size
        g.note(size=size)
    else:
        f = [float(g.pick(2., 0.5, 1.5, 3., 0.7, 1., 1.3)) for _ in range(axes)]
        f = [k if int(n * k) > anti else 2. if n > 1 or not anti else 3. for k, n in zip(f, s[2:])]
        # a factor that leaves the size as it is: PyTorch copies, in some modes in the gradient alone; Tern goes by the factor
        f = [1. if int(n * k) == n else k for k, n in zip(f, s[2:])]
        opts["scale_factor"] = torch_opts["scale_factor"] = f
        if mode == "AREA":
            torch_opts["recompute_scale_factor"] = True
        g.note(scale_factor=f)
    g.note(mode=name, align=align, antialias=anti)
    return Case([g.real(s)], lambda t, x: t.interpolate(x, opts), lambda x: F.interpolate(x, **torch_opts))


@op("grid_sample")
def _(g):
    axes = g.integer(2, 3)
    s = image(g, axes)
    mode = g.pick("LINEAR", "NEAREST", "CUBIC") if axes == 2 else g.pick("LINEAR", "NEAREST")
    padding, align = g.pick("ZEROS", "BORDER", "REFLECTION"), g.chance(0.5)
    gs = (s[0],) + tuple(g.integer(1, 5) for _ in range(axes)) + (axes,)
    g.note(mode=mode, padding=padding, align=align)
    opts = {"mode": g.enum("TERN_GRID_" + mode), "padding": g.enum("TERN_GRID_" + padding), "align_corners": align}
    name = {"LINEAR": "bilinear", "NEAREST": "nearest", "CUBIC": "bicubic"}[mode]
    # ties would fall on the edges between elements, where f32 and f64 part
    return Case([g.real(s, expand=False), g.real(gs, -1.6, 1.6, ties=False, expand=False)],
                lambda t, x, y: t.grid_sample(x, y, opts),
                lambda x, y: F.grid_sample(x, y, mode=name, padding_mode=padding.lower(), align_corners=align),
                loosen=4.)


@op("affine_grid")
def _(g):
    axes, align = g.integer(2, 3), g.chance(0.5)
    s = image(g, axes)
    g.note(size=s, align=align)
    return Case([g.real((s[0], axes, axes + 1))], lambda t, x: t.affine_grid(x, s, align),
                lambda x: F.affine_grid(x, list(s), align_corners=align))


# not of empty ones: PyTorch's pixel_unshuffle returns them as they are, and pixel_shuffle has no gradient then
@op("pixel_shuffle")
def _(g):
    r = g.integer(1, 3)
    s = g.shape(0, 2, False) + (r * r * g.size(False), g.size(False), g.size(False))
    g.note(r=r)
    return Case([g.any(s)], lambda t, x: t.pixel_shuffle(x, r), lambda x: F.pixel_shuffle(x, r))


@op("pixel_unshuffle")
def _(g):
    r = g.integer(1, 3)
    s = g.shape(0, 2, False) + (g.size(False), r * g.size(False), r * g.size(False))
    g.note(r=r)
    return Case([g.any(s)], lambda t, x: t.pixel_unshuffle(x, r), lambda x: F.pixel_unshuffle(x, r))


@op("channel_shuffle")
def _(g):
    groups = g.integer(1, 4)
    s = (g.size(False), groups * g.size(False)) + g.shape(1, 2, False)
    g.note(groups=groups)
    return Case([g.any(s)], lambda t, x: t.channel_shuffle(x, groups), lambda x: F.channel_shuffle(x, groups))
