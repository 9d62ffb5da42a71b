"""Writes tests/reference/image.def: what PyTorch's image ops make of inputs that tests/cases/image.c computes as well."""
import os
import torch
import torch.nn.functional as F

def values(shape, step, scale):
    n = 1
    for s in shape: n *= s
    return (torch.sin(torch.arange(n, dtype=torch.float64) * step + 0.3) * scale).reshape(shape)

def text(t): return '{' + ', '.join(repr(float(v)) for v in t.flatten()) + '}'
def sizes(s): return '{' + ', '.join(map(str, s)) + '}'

out = []
names = {'nearest': 0, 'nearest-exact': 1, 'linear': 2, 'bilinear': 2, 'trilinear': 2, 'bicubic': 3, 'area': 4}
def resize(mode, shape, size=None, factor=None, align=None, aa=False):
    y = F.interpolate(values(shape, 0.7, 1), size=size, scale_factor=factor, mode=mode, align_corners=align, antialias=aa)
    f = factor or [0]
    out.append(f'RESIZE({names[mode]}, {int(bool(align))}, {int(aa)}, ({len(shape)}, {sizes(shape)}), ({sizes(size or [0])}), '
               f'({sizes(f)}), {y.numel()}, ({text(y)}))')

for mode in ('nearest', 'nearest-exact', 'area'):
    resize(mode, (1, 2, 5), [8]); resize(mode, (1, 1, 3, 4), [5, 3]); resize(mode, (1, 1, 2, 3, 2), [3, 2, 5])
    resize(mode, (1, 1, 4, 6), factor=[1.5, 0.5])
for align in (False, True):
    resize('linear', (1, 2, 5), [8], align=align); resize('bilinear', (1, 1, 3, 4), [5, 3], align=align)
    resize('trilinear', (1, 1, 2, 3, 2), [3, 2, 5], align=align)
    resize('bicubic', (1, 1, 4, 5), [7, 3], align=align); resize('bilinear', (1, 1, 4, 4), [1, 1], align=align)
    for mode in ('bilinear', 'bicubic'):
        resize(mode, (1, 1, 6, 5), [3, 7], align=align, aa=True)
        resize(mode, (1, 1, 6, 7), [2, 3], align=align, aa=True)
resize('bilinear', (1, 1, 4, 6), factor=[1.7, 0.6], align=False)
resize('bicubic', (1, 1, 4, 6), factor=[1.7, 0.6], align=False)
resize('bilinear', (1, 1, 6, 6), factor=[0.4, 1.3], align=False, aa=True)

modes, pads = ['bilinear', 'nearest', 'bicubic'], ['zeros', 'border', 'reflection']
def sample(mode, pad, align, shape, to):
    n = len(shape) - 2
    y = F.grid_sample(values(shape, 0.7, 1), values((shape[0], *to, n), 1.3, 2.1), mode=mode, padding_mode=pad, align_corners=align)
    out.append(f'SAMPLE({modes.index(mode)}, {pads.index(pad)}, {int(align)}, ({len(shape)}, {sizes(shape)}), ({sizes(to)}), '
               f'{y.numel()}, ({text(y)}))')
for align in (False, True):
    for pad in pads:
        for mode in modes: sample(mode, pad, align, (2, 2, 3, 4), (3, 2))
        for mode in modes[:2]: sample(mode, pad, align, (1, 2, 2, 3, 2), (2, 1, 3))

def affine(shape, align):
    n = len(shape) - 2
    y = F.affine_grid(values((shape[0], n, n + 1), 0.9, 1), list(shape), align_corners=align)
    out.append(f'AFFINE({int(align)}, ({len(shape)}, {sizes(shape)}), {y.numel()}, ({text(y)}))')
for align in (False, True):
    affine((2, 1, 2, 3), align); affine((1, 1, 2, 1, 3), align)

def move(name, function, shape, r):
    y = function(values(shape, 0.7, 1), r)
    out.append(f'MOVE({name}, ({len(shape)}, {sizes(shape)}), {r}, {y.numel()}, ({text(y)}))')
move('pixel_shuffle', F.pixel_shuffle, (2, 8, 1, 2), 2)
move('pixel_unshuffle', F.pixel_unshuffle, (1, 2, 4, 2), 2)
move('channel_shuffle', F.channel_shuffle if hasattr(F, 'channel_shuffle') else torch.channel_shuffle, (2, 6, 1, 2), 3)

with open(os.path.join(os.path.dirname(__file__), 'image.def'), 'w') as f:
    f.write('/* Written by tests/reference/image.py with PyTorch: the values of image ops. A size in brackets is an initialiser. */\n')
    for row in out: f.write(row + '\n')
