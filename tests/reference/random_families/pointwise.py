"""core/pointwise.h."""
import numpy as np
import torch
import torch.nn.functional as F
from pytorch_random import Case, left_out, op

INF = float("inf")


def unary(name, reference=None, lo=-3., hi=3., special=True, whole=False, grad=True, ints=True):
    """whole: integers stay integers; other functions make f32 of them, as PyTorch does, unless it refuses them."""
    reference = reference or getattr(torch, name)

    def draw(g, placed):
        dtype = g.dtype if placed or not ints or (not whole and g.chance(0.8)) else g.any_dtype()
        if dtype in ("bool", "u8") and whole:
            dtype = "i64"
        s = g.shape()
        if dtype == g.dtype:
            x = g.real(s, lo, hi, grad=grad, special=special)
        else:
            x = g.any(s, dtype)
        return x
    @op(name)
    def case(g):
        return Case([draw(g, False)], lambda t, x: getattr(t, name)(x), reference)

    @op(name + "_")
    def case_in_place(g):
        return Case([draw(g, True)], lambda t, x: getattr(t, name + "_")(t.clone(x)), reference)


for f in "neg positive abs sign floor ceil round trunc square".split():
    # PyTorch's sign of NaN, and with it abs's gradient, is 0; Tern's is NaN, as NumPy's
    unary(f, whole=True, special="numbers" if f in ("abs", "sign") else True)
for f in "frac sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh atanh erf erfc sigmoid".split():
    unary(f, special=f not in ("tan", "frac"), ints=f != "frac")
unary("acosh", lo=1., hi=5., special=False)  # PyTorch's gradient is a number where the value is NaN
unary("erfinv", lo=-0.99, hi=0.99)
unary("ndtr", torch.special.ndtr)
unary("lgamma", lo=0.1, hi=6., special=False)
unary("digamma", lo=0.1, hi=6., special=False)
unary("logsigmoid", F.logsigmoid, ints=False)
# PyTorch lets the gradient through at NaN, Tern's is 0
unary("relu", whole=True, special="numbers")
unary("relu6", F.relu6, hi=9., special="numbers", ints=False)
for f in "silu mish softplus softsign selu hardswish hardsigmoid tanhshrink".split():
    unary(f, getattr(F, f), lo=-6., hi=6., special=False, ints=False)
unary("gelu", F.gelu, special=False, ints=False)
unary("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), special=False, ints=False)


def number(g, special, ties):
    if ties:
        return g.real(g.shape(), special=special)
    s = g.shape()  # f16 and bf16 round to ties: thirds of whole numbers do not
    return g.of((np.round(g.rng.uniform(-9, 9, s)) + 0.25) / 3)


def with_numbers(name, reference, numbers, special=False, dtypes=("f64", "f32", "f16", "bf16"), ties=True):
    @op(name, dtypes)
    def case(g):
        a = numbers(g)
        g.note(args=a)
        return Case([number(g, special, ties)], lambda t, x: getattr(t, name)(x, *a), lambda x: reference(x, *a))

    @op(name + "_", dtypes)
    def in_place(g):
        a = numbers(g)
        g.note(args=a)
        return Case([number(g, False, ties)], lambda t, x: getattr(t, name + "_")(t.clone(x), *a), lambda x: reference(x, *a))


with_numbers("leaky_relu", F.leaky_relu, lambda g: (g.pick(0.01, 0.25),), True)
with_numbers("elu", F.elu, lambda g: (g.pick(1., 0.5),))
with_numbers("celu", F.celu, lambda g: (g.pick(1., 0.5),))
with_numbers("hardshrink", F.hardshrink, lambda g: (g.pick(0.5, 1., 0.),))
with_numbers("softshrink", F.softshrink, lambda g: (g.pick(0.5, 1., 0.),))
with_numbers("softplus_beta", F.softplus, lambda g: (g.pick(1., 2.), g.pick(20., 1.)))
with_numbers("threshold", F.threshold, lambda g: (g.pick(0., 1.), g.pick(0., -2.)))
with_numbers("hardtanh", F.hardtanh, lambda g: (g.pick(-1., 0.), g.pick(1., 2.)))
# at a bound Tern's gradient is 1, as its header has it, and PyTorch's 0: no ties
with_numbers("clamp", torch.clamp, lambda g: (g.pick(-1., -INF, 0.5), g.pick(1., INF, 0.5)), ties=False)
for f, ref in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div)):
    with_numbers(f + "_scalar", ref, lambda g: (g.pick(1., 0.5, -2.),))
with_numbers("pow_scalar", lambda x, s: x ** s, lambda g: (float(g.pick(0, 1, 2, 3, -1, -2)),))


@op("rsub_scalar")
def _(g):
    return Case([g.real(g.shape())], lambda t, x: t.rsub_scalar(x, 2.5), lambda x: 2.5 - x)


@op("rdiv_scalar")
def _(g):
    return Case([g.real(g.shape())], lambda t, x: t.rdiv_scalar(x, 2.5), lambda x: 2.5 / x)


@op("polygamma")
def _(g):
    n = g.integer(0, 4)
    g.note(n=n)
    return Case([g.real(g.shape(), 0.5, 6.)], lambda t, x: t.polygamma(x, float(n)), lambda x: torch.special.polygamma(n, x))


@op("prelu")
def _(g):
    s = g.shape(0, 4)
    c = s[1] if len(s) > 1 else s[0] if s else 1
    w = (c,) if len(s) > 1 and g.chance(0.6) else (1,)
    return Case([g.real(s), g.real(w)], lambda t, x, w: t.prelu(x, w), F.prelu)


@op("glu")
def _(g):
    s = list(g.shape(1, 4))
    d = g.dim(s)
    s[d] *= 2
    return Case([g.real(tuple(s))], lambda t, x: t.glu(x, d), lambda x: F.glu(x, d))


@op("nan_to_num")
def _(g):
    return Case([g.real(g.shape(), special=True)], lambda t, x: t.nan_to_num(x, 1., 2., -3.),
                lambda x: torch.nan_to_num(x, 1., 2., -3.))


def test(name):
    @op(name)
    def draw(g):
        return Case([g.any(g.shape(), special=True)], lambda t, x: getattr(t, name)(x), getattr(torch, name))


for f in "logical_not isnan isinf isfinite signbit".split():
    test(f)


def mixed(g, shapes, dtypes, **more):
    """Inputs of broadcasting shapes; a 0-dim one has the others' dtype, since PyTorch's promotion takes it for a number."""
    kinds = [g.pick(*dtypes) if dtypes and g.chance(0.3) else None for _ in shapes]
    if g.chance(0.6) or not all(shapes):
        kinds = kinds[:1] * len(shapes)
    return [g.real(s, **more) if k is None or k == g.dtype else g.any(s, k) for s, k in zip(shapes, kinds)]


def binary(name, reference=None, lo=-3., hi=3., dtypes=("i64", "i32", "u8"), special=False, ties=True, in_place=True, grad=True):
    reference = reference or getattr(torch, name)

    @op(name)
    def case(g):
        return Case(mixed(g, g.broadcasts(2), dtypes, lo=lo, hi=hi, special=special, ties=ties, grad=grad),
                    lambda t, a, b: getattr(t, name)(a, b), reference)
    if not in_place:
        return

    @op(name + "_")
    def case_in_place(g):
        s = g.shape()
        b = tuple(1 if g.chance(0.2) else k for k in s[g.integer(0, len(s)) if g.chance(0.3) else 0:])
        return Case([g.real(s, lo, hi, ties=ties, grad=grad), g.real(b, lo, hi, ties=ties, grad=grad)],
                    lambda t, a, b: getattr(t, name + "_")(t.clone(a), b), reference)


for f in "add sub mul".split():
    binary(f, special=True)
binary("div", dtypes=("i64", "i32"), ties=False)
binary("pow", lo=0.2, hi=3., dtypes=(), ties=False)
binary("fmod", lo=0.3, dtypes=())
binary("remainder", lo=0.3, dtypes=())
binary("floor_divide", lo=0.3, dtypes=(), ties=False, grad=False)  # PyTorch has no gradient of it
binary("atan2", dtypes=("i64",))
binary("hypot", dtypes=(), ties=False)
binary("logaddexp", dtypes=())
binary("xlogy", lo=0.2, hi=3., dtypes=(), ties=False)
binary("copysign", dtypes=())
binary("maximum", special=True)
binary("minimum", special=True)
binary("leaky_relu_tensor", lambda a, b: torch.where(a > 0, a, a * b), dtypes=())
binary("mul_sigmoid", lambda a, b: a * torch.sigmoid(b), dtypes=())
binary("swiglu", lambda a, b: F.silu(a) * b, dtypes=())
for f in "eq ne lt le gt ge logical_and logical_or logical_xor".split():
    binary(f, special=True, in_place=False)


@op("nextafter", ("f64",))
def _(g):
    a, b = g.broadcasts(2)
    return Case([g.real(a, grad=False), g.real(b, grad=False)], lambda t, a, b: t.nextafter(a, b), torch.nextafter)


def integers(name, reference, shift=False):
    def inputs(g, shapes, kinds):
        dtype = g.pick(*kinds)
        return [g.any(shapes[0], dtype), g.whole(shapes[1], 0, 5, dtype) if shift else g.any(shapes[1], dtype)]
    kinds = ("i64", "i32", "u8") if shift else ("i64", "i32", "u8", "bool")

    @op(name)
    def case(g):
        return Case(inputs(g, g.broadcasts(2), kinds), lambda t, a, b: getattr(t, name)(a, b), reference)

    @op(name + "_")
    def in_place(g):
        s = g.shape()
        return Case(inputs(g, [s, s], kinds), lambda t, a, b: getattr(t, name + "_")(t.clone(a), b), reference)


for f in "bitwise_and bitwise_or bitwise_xor".split():
    integers(f, getattr(torch, f))
integers("left_shift", torch.bitwise_left_shift, True)
integers("right_shift", torch.bitwise_right_shift, True)


def divided(name, reference):
    """Of integers, whose divisors are not 0 (PyTorch refuses those, Tern gives 0)."""
    @op(name + "__integers")
    def case(g):
        a, b = g.broadcasts(2)
        dtype = g.pick("i64", "i32", "u8")
        d = g.rng.integers(1, 6, b) * (g.rng.choice([-1, 1], b) if dtype != "u8" else 1)
        return Case([g.any(a, dtype), g.of(d, dtype, False)], lambda t, a, b: getattr(t, name)(a, b), reference)


divided("fmod", torch.fmod)
divided("remainder", torch.remainder)
divided("floor_divide", torch.floor_divide)


@op("pow__integers")
def _(g):
    a, b = g.broadcasts(2)
    dtype = g.pick("i64", "i32", "u8")
    return Case([g.any(a, dtype), g.whole(b, 0, 6, dtype)], lambda t, a, b: t.pow(a, b), torch.pow)


@op("bitwise_not")
def _(g):
    return Case([g.any(g.shape(), g.pick("i64", "i32", "u8", "bool"))], lambda t, x: t.bitwise_not(x), torch.bitwise_not)


@op("clamp_tensors")
def _(g):
    x, a, b = g.broadcasts(3)
    which = g.integer(1, 3)
    return Case([g.real(x, ties=False), g.real(a, -2., 0., ties=False) if which & 1 else None,
                 g.real(b, 0.1, 2., ties=False) if which & 2 else None],
                lambda t, x, a, b: t.clamp_tensors(x, a, b), lambda x, a, b: torch.clamp(x, a, b))


@op("lerp_scalar")
def _(g):
    a, b = g.broadcasts(2)
    w = g.pick(0., 0.3, 1., 0.7, -1.)
    return Case([g.real(a), g.real(b)], lambda t, a, b: t.lerp_scalar(a, b, w), lambda a, b: torch.lerp(a, b, w))


@op("lerp")
def _(g):
    a, b, c = g.broadcasts(3)
    return Case([g.real(a), g.real(b), g.real(c)], lambda t, a, b, w: t.lerp(a, b, w), torch.lerp)


def add_c(name, lo):
    @op(name)
    def draw(g):
        x, a, b = g.broadcasts(3)
        s = g.pick(1., -0.5, 2.)
        return Case([g.real(x), g.real(a), g.real(b, lo)], lambda t, x, a, b: getattr(t, name)(x, a, b, s),
                    lambda x, a, b: getattr(torch, name)(x, a, b, value=s))


add_c("addcmul", -3.)
add_c("addcdiv", 0.3)


@op("add_scaled_")
def _(g):
    s = g.shape()
    b = tuple(1 if g.chance(0.2) else k for k in s)
    return Case([g.real(s), g.real(b)], lambda t, x, y: t.add_scaled_(t.clone(x), 0.5, y), lambda x, y: torch.add(x, y, alpha=0.5))


@op("copy_")
def _(g):
    s = g.shape()
    b = tuple(1 if g.chance(0.2) else k for k in s)
    return Case([g.real(s), g.real(b)], lambda t, x, y: t.copy_(t.clone(x), y), lambda x, y: x.clone().copy_(y))


@op("fill_")
def _(g):
    return Case([g.real(g.shape())], lambda t, x: t.fill_(t.clone(x), 0.5), lambda x: x.clone().fill_(0.5))


@op("zero_")
def _(g):
    return Case([g.real(g.shape())], lambda t, x: t.zero_(t.clone(x)), lambda x: x.clone().zero_())


def placed(name, reference, n, lo=-3., args=()):
    """A form in place of n tensors, the others broadcast to the first. f64 and f32: some round twice in half precision."""
    @op(name, ("f64", "f32"))
    def draw(g):
        s = g.shape()
        others = [tuple(1 if g.chance(0.2) else k for k in s) for _ in range(n - 1)]
        return Case([g.real(s, lo)] + [g.real(k, lo) for k in others],
                    lambda t, x, *y: getattr(t, name)(t.clone(x), *y, *args), reference)


placed("lerp_", torch.lerp, 3)
placed("lerp_scalar_", lambda a, b: torch.lerp(a, b, 0.3), 2, args=(0.3,))
placed("addcmul_", lambda x, a, b: torch.addcmul(x, a, b, value=-0.5), 3, args=(-0.5,))
placed("addcdiv_", lambda x, a, b: torch.addcdiv(x, a, b, value=2), 3, 0.3, (2.,))
placed("nan_to_num_", lambda x: torch.nan_to_num(x, 1., 2., -3.), 1, args=(1., 2., -3.))
placed("polygamma_", lambda x: torch.special.polygamma(1, x), 1, 0.5, (1.,))


@op("clamp_tensors_")
def _(g):
    s = g.shape()
    return Case([g.real(s, ties=False), g.real(s, -2., 0., ties=False), g.real(s, 0.1, 2., ties=False)],
                lambda t, x, a, b: t.clamp_tensors_(t.clone(x), a, b), torch.clamp)


def truth(name, two):
    @op(name + "_")
    def draw(g):
        s, dtype = g.shape(), g.any_dtype()
        return Case([g.any(s, dtype) for _ in range(1 + two)], lambda t, x, *y: getattr(t, name + "_")(t.clone(x), *y),
                    lambda x, *y: getattr(x.clone(), name + "_")(*y), grad=False)


truth("logical_not", 0)
for f in "logical_and logical_or logical_xor".split():
    truth(f, 1)


@op("bitwise_not_")
def _(g):
    return Case([g.any(g.shape(), g.pick("i64", "i32", "u8", "bool"))], lambda t, x: t.bitwise_not_(t.clone(x)), torch.bitwise_not)


left_out("nextafter_", "as nextafter, through the door of the other in-place forms")
left_out("where", "is among the index family's")
