"""Resize and Upsample: by tern_interpolate where it has what the node asks for; other coordinates by tern_index_select
(nearest) and tern_grid_sample (linear, cubic)."""
import numpy as np

from . import Excluded, op


class Axis:
    """One resized axis: its size, the new one, and the scale that coordinates go by."""
    def __init__(self, number, size, new, scale, roi, from_sizes):
        self.number, self.size, self.new, self.scale, self.roi, self.from_sizes = number, size, new, scale, roi, from_sizes

    def whole(self):
        return abs(self.scale * self.size - self.new) < 1e-6


def resized_axes(n):
    s = n.shape()
    older = n.type == "Upsample" or n.opset == 10
    scales, sizes = n.host(1 if older else 2), None if older else n.ints(3)
    scales = n.attr("scales") if scales is None and n.at(3) is None else scales
    axes = [a % len(s) for a in n.attr("axes") or range(len(s))]
    roi = n.host(1) if n.attr("coordinate_transformation_mode") == "tf_crop_and_resize" else None
    policy = n.attr("keep_aspect_ratio_policy", "stretch")
    if sizes is not None:
        scales = [z / s[a] for z, a in zip(sizes, axes)]
        if policy != "stretch":
            common = (min if policy == "not_larger" else max)(scales)
            scales, sizes = [common] * len(axes), [int(common * s[a] + 0.5) for a in axes]
    news = sizes or [int(np.floor(float(f) * s[a])) for f, a in zip(scales, axes)]
    out = []
    for i, a in enumerate(axes):
        r = (0.0, 1.0) if roi is None else (float(roi[i]), float(roi[i + len(axes)]))
        if news[i] != s[a] or abs(scales[i] - 1) > 1e-6 or r != (0.0, 1.0):
            out.append(Axis(a, s[a], news[i], float(scales[i]), r, sizes is not None))
    return sorted(out, key=lambda a: a.number)


def coordinates(t, a, mode):
    """Where each new element lies among the old ones: f64 [new], by Tern."""
    i = t.arange(0, a.new, {"dtype": t.enums["tern_dtype"]["TERN_F64"]})
    length = a.scale * a.size
    if mode == "align_corners":
        return t.mul_scalar(i, 0.0 if length == 1 else (a.size - 1) / (length - 1))
    if mode == "asymmetric":
        return t.div_scalar(i, a.scale)
    if mode == "tf_crop_and_resize":
        span = (a.roi[1] - a.roi[0]) * (a.size - 1)
        if a.new == 1:
            return t.full_like(i, span / 2 + a.roi[0] * (a.size - 1))
        return t.add_scalar(t.mul_scalar(i, span / (length - 1)), a.roi[0] * (a.size - 1))
    if mode == "pytorch_half_pixel" and length == 1:
        return t.full_like(i, -0.5)
    x = t.sub_scalar(t.div_scalar(t.add_scalar(i, 0.5), a.scale), 0.5)
    if mode == "half_pixel_symmetric":
        x = t.add_scalar(x, a.size / 2 * (1 - a.new / length))
    return x


def interpolation(t, n, axes, kind, mode):
    """tern_interpolate's options, or None if it has no such coordinates."""
    mode_of = t.enums["tern_interpolation"]
    sizes = {"size": [a.new for a in axes]}
    by_size = all(a.whole() for a in axes)
    factors = sizes if by_size else {"scale_factor": [a.scale for a in axes]}
    if not by_size and (any(a.from_sizes or int(a.scale * a.size) != a.new for a in axes)):
        return None
    half = mode == "half_pixel" or (mode == "pytorch_half_pixel" and all(a.new > 1 for a in axes)) or \
        (mode == "half_pixel_symmetric" and by_size)
    if kind == "nearest":
        rounding = n.attr("nearest_mode", "round_prefer_floor" if n.opset > 10 else "floor")
        if mode == "asymmetric" and rounding == "floor":
            return {"mode": mode_of["TERN_NEAREST"], **factors}
        halves = any(np.any(np.mod((np.arange(a.new) + 0.5) / a.scale, 1) == 0) for a in axes)
        if half and (rounding == "round_prefer_ceil" or (rounding == "round_prefer_floor" and not halves)):
            return {"mode": mode_of["TERN_NEAREST_EXACT"], **factors}
        return None
    name = {"mode": mode_of["TERN_" + kind.upper()]}
    if half:
        return {**name, **factors}
    if mode == "align_corners" and by_size:
        return {**name, **sizes, "align_corners": True}
    return None


def nearest(t, n, x, axes, mode):
    rounding = n.attr("nearest_mode", "round_prefer_floor" if n.opset > 10 else "floor")
    for a in axes:
        at = coordinates(t, a, mode)
        at = {"floor": t.floor, "ceil": t.ceil,
              "round_prefer_floor": lambda v: t.ceil(t.sub_scalar(v, 0.5)),
              "round_prefer_ceil": lambda v: t.floor(t.add_scalar(v, 0.5))}[rounding](at)
        at = t.cast(t.clamp(at, 0.0, a.size - 1.0), t.enums["tern_dtype"]["TERN_I64"])
        x = t.index_select(x, a.number, at)
    return x


def sampled(t, n, x, axes, kind, mode):
    """By grid_sample, whose coordinates are free: x [1, C, one or two axes], the elements' centres from -1 to 1."""
    places = [coordinates(t, a, mode) for a in axes]
    unit = [t.sub_scalar(t.mul_scalar(p, 2.0 / max(a.size - 1, 1)), 1.0) for p, a in zip(places, axes)]
    if len(axes) == 1:  # an axis of one element below
        x, unit = t.unsqueeze(x, 3), unit + [t.zeros((1,), {"dtype": t.enums["tern_dtype"]["TERN_F64"]})]
    h, w = (t.shape(u)[0] for u in unit)
    grid = t.stack([t.expand(unit[1], (h, w)), t.expand(t.unsqueeze(unit[0], 1), (h, w))], 2, 2)
    grid = t.cast(t.unsqueeze(grid, 0), t.dtype_of(x))
    modes = {"linear": "LINEAR", "cubic": "CUBIC"}
    y = t.grid_sample(x, grid, {"mode": t.enums["tern_grid_mode"]["TERN_GRID_" + modes[kind]], "align_corners": True,
                                "padding": t.enums["tern_grid_padding"]["TERN_GRID_BORDER"]})
    y = t.squeeze(y, 3) if len(axes) == 1 else y
    if mode == "tf_crop_and_resize":
        value = t.full_like(y, n.attr("extrapolation_value", 0.0))
        for i, (p, a) in enumerate(zip(places, axes)):
            out = t.logical_or(t.lt(p, t.zeros_like(p)), t.gt(p, t.full_like(p, a.size - 1.0)))
            y = t.where(t.reshape(out, (-1,) + (1,) * (len(axes) - 1 - i)), value, y)
    return y


@op("Resize", "Upsample")
def resize(t, n):
    kind = {"bilinear": "linear", "bicubic": "cubic"}.get(n.attr("mode", "nearest"), n.attr("mode", "nearest"))
    mode = n.attr("coordinate_transformation_mode", "half_pixel")
    if n.type == "Upsample" or n.opset == 10:
        mode = "asymmetric"
    axes, x = resized_axes(n), n.x[0]
    if not axes:
        return x
    smooth, inside = bool(n.attr("antialias", 0)), n.attr("exclude_outside", 0)
    if smooth and not inside:
        raise Excluded("Resize with antialias that repeats the edges: Tern's kernels leave out what is outside, as "
                       "PyTorch's do")
    if inside and not smooth:
        raise Excluded("Resize that leaves out what is outside (exclude_outside): Tern repeats the edges, as PyTorch does")
    if kind == "cubic" and n.attr("cubic_coeff_a", -0.75) != (-0.5 if smooth else -0.75):
        raise Excluded("Resize with another cubic kernel: Tern's has a = -0.75, or -0.5 with antialias")
    if kind == "nearest" and interpolation(t, n, axes, kind, mode) is None:
        return nearest(t, n, x, axes, mode)
    if len(axes) > 3:
        raise Excluded("Resize of more than three axes")
    # [1, all other axes, the resized ones], and back
    rest = [d for d in range(n.ndim()) if d not in [a.number for a in axes]]
    order = rest + [a.number for a in axes]
    kept = tuple(n.shape()[d] for d in rest)
    x = t.reshape(t.permute(x, order, len(order)), (1, int(np.prod(kept)), *[a.size for a in axes]))
    opts = interpolation(t, n, axes, kind, mode)
    if opts is not None:
        y = t.interpolate(x, {**opts, "antialias": smooth})
    elif smooth:
        raise Excluded(f"Resize with antialias by {mode} coordinates")
    elif len(axes) < 3:
        y = sampled(t, n, x, axes, kind, mode)
    else:
        raise Excluded(f"Resize of three axes by {mode} coordinates")
    y = t.reshape(y, kept + tuple(a.new for a in axes))
    return t.permute(y, [order.index(d) for d in range(n.ndim())], n.ndim())
