"""Weights between Keras and Tern, both ways and in both of Keras's formats: the outputs agree to 1e-5.

    KERAS_BACKEND=torch python3 tests/reference/keras_check.py BUILD [--fixtures FILE]

BUILD: where Tern was built; needs Keras 3, h5py and NumPy. With --fixtures it writes keras.def instead, what
tests/io_keras.c reads (small files made by Keras, and what Keras computes from them). Ends with 1 on a difference."""
import argparse
import ctypes as C
import os
import sys
import tempfile
import textwrap
import zlib

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers as L  # noqa: E402

import api  # noqa: E402

EPS = 1e-3  # Keras's, of BatchNormalization and LayerNormalization


class Builder:
    """Tern's modules by short names: b.linear(3, 4, {}) is tern_linear_new(3, 4, {0})."""
    def __init__(self, t):
        self.t = t

    def __getattr__(self, name):
        new = getattr(self.t, name + "_new")
        return lambda *args: C.c_void_p(new(*args))

    def seq(self, *modules):
        a = (C.c_void_p * len(modules))(*[m.value for m in modules])
        return C.c_void_p(self.t.sequential_of(a, len(modules)))

    def dict(self, **modules):
        names = (C.c_char_p * len(modules))(*[n.encode() for n in modules])
        a = (C.c_void_p * len(modules))(*[m.value for m in modules.values()])
        return C.c_void_p(self.t.dict_new(names, a, len(modules)))


def seq(shape, *layers):
    return keras.Sequential([keras.Input(shape, dtype="int32" if shape == (7,) else "float32"), *layers])


def attention_model():
    x = keras.Input((5, 8))
    y = L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)])
    return keras.Model(x, L.Dense(3)(L.LayerNormalization()(y)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.front, self.blocks, self.head = L.Dense(4), [L.Dense(5), L.Dense(5)], keras.Sequential([L.Dense(2)])

    def call(self, x):
        x = self.front(x)
        for b in self.blocks:
            x = b(x)
        return self.head(x)


def subclassed():
    m = Subclassed()
    m(np.zeros((1, 3), np.float32))
    return m


def cases(b):
    """name, Keras's model, Tern's module, a sample's shape, options, and how Tern's module is called where it is no sequential."""
    bi = {"batch_first": True, "bidirectional": True}
    lin = lambda i, o, **k: b.linear(i, o, k)
    yield "dense", lambda: seq((6,), L.Dense(5, "relu"), L.Dropout(.3), L.Dense(4, use_bias=False), L.Dense(3)), \
        lambda: b.seq(lin(6, 5), b.relu(), b.dropout(.3), lin(5, 4, no_bias=True), lin(4, 3)), (6,), {}
    yield "batch_norm", lambda: seq((6,), L.Dense(5), L.BatchNormalization(), L.ReLU(), L.BatchNormalization(scale=False, center=False), L.Dense(2)), \
        lambda: b.seq(lin(6, 5), b.batch_norm(5, {"eps": EPS}), b.relu(), b.batch_norm(5, {"eps": EPS, "no_affine": True}), lin(5, 2)), (6,), {}
    yield "conv2d", lambda: seq((8, 9, 3), L.Conv2D(4, (3, 2), activation="relu"), L.BatchNormalization(), L.MaxPooling2D(2),
                                L.Conv2D(6, 2, groups=2), L.Flatten(), L.Dense(5)), \
        lambda: b.seq(b.conv2d_rect(3, 4, [3, 2], {}), b.relu(), b.batch_norm(4, {"eps": EPS}), b.max_pool2d(2, {}),
                      b.conv2d(4, 6, 2, {"groups": 2}), b.flatten(), lin(6 * 2 * 3, 5)), (8, 9, 3), {"orders": [("6", 6, 0)]}
    yield "conv1d", lambda: seq((9, 3), L.Conv1D(4, 3, strides=2), L.Conv1D(5, 2, use_bias=False), L.GlobalAveragePooling1D(), L.Dense(2)), \
        lambda: b.seq(b.conv1d(3, 4, 3, {"stride": 2}), b.conv1d(4, 5, 2, {"no_bias": True}), b.adaptive_avg_pool1d(1), b.flatten(), lin(5, 2)), (9, 3), {}
    yield "conv3d", lambda: seq((4, 5, 6, 2), L.Conv3D(3, (2, 3, 2)), L.Flatten(), L.Dense(2)), \
        lambda: b.seq(b.conv3d_rect(2, 3, [2, 3, 2], {}), b.flatten(), lin(3 * 3 * 3 * 5, 2)), (4, 5, 6, 2), {"orders": [("2", 3, 0)]}
    yield "transposed", lambda: seq((4, 3, 2), L.Conv2DTranspose(5, 3, strides=2), L.Conv2D(2, 1)), \
        lambda: b.seq(b.conv_transpose2d(2, 5, 3, {"stride": [2, 2]}), b.conv2d(5, 2, 1, {})), (4, 3, 2), {}
    yield "transposed1d3d", lambda: seq((4, 2), L.Conv1DTranspose(3, 2), L.Reshape((5, 3, 1, 1)), L.Conv3DTranspose(2, (1, 2, 2))), \
        lambda: b.dict(a=b.conv_transpose1d(2, 3, 2, {}), c=b.conv_transpose3d_rect(1, 2, [1, 2, 2], {})), (4, 2), {}, \
        lambda t, m, x: t.forward(child(t, m, "c"), t.unsqueeze(t.unsqueeze(t.transpose(t.forward(child(t, m, "a"), x), 1, 2), 1), -1))
    yield "depthwise", lambda: seq((6, 6, 3), L.DepthwiseConv2D(3, depth_multiplier=2), L.Conv2D(6, 1, groups=6), L.Conv2D(2, 1)), \
        lambda: b.seq(b.conv2d(3, 6, 3, {"groups": 3}), b.conv2d(6, 6, 1, {"groups": 6}), b.conv2d(6, 2, 1, {})), (6, 6, 3), \
        {"names": [("1", "conv2d")], "saved": [("1", "layers/conv2d"), ("2", "layers/conv2d_1")]}
    yield "separable", lambda: seq((6, 7, 3), L.SeparableConv2D(4, (3, 2), depth_multiplier=2), L.ReLU(), L.SeparableConv2D(5, 2, use_bias=False), L.Conv2D(2, 1)), \
        lambda: b.seq(b.seq(b.conv2d_rect(3, 6, [3, 2], {"groups": 3, "no_bias": True}), b.conv2d(6, 4, 1, {})), b.relu(),
                      b.seq(b.conv2d(4, 4, 2, {"groups": 4, "no_bias": True}), b.conv2d(4, 5, 1, {"no_bias": True})), b.conv2d(5, 2, 1, {})), (6, 7, 3), \
        {"saved": [("0", "layers/separable_conv2d"), ("2", "layers/separable_conv2d_1")]}
    yield "separable1d", lambda: seq((6, 1), L.SeparableConv1D(3, 2, depth_multiplier=4)), \
        lambda: b.seq(b.conv1d(1, 4, 2, {"no_bias": True}), b.conv1d(4, 3, 1, {})), (6, 1), {"one_way": True}
    yield "pair", lambda: seq((6, 6, 3), keras.Sequential([L.DepthwiseConv2D(3, use_bias=False), L.Conv2D(4, 1)]), L.Conv2D(2, 1)), \
        lambda: b.seq(b.seq(b.conv2d(3, 3, 3, {"groups": 3, "no_bias": True}), b.conv2d(3, 4, 1, {})), b.conv2d(4, 2, 1, {})), (6, 6, 3), {}
    yield "half norms", lambda: seq((5, 6), L.LayerNormalization(scale=False), L.Dense(6), L.LayerNormalization(center=False), L.LayerNormalization(), L.Dense(2)), \
        lambda: b.seq(b.layer_norm((6,), {"eps": EPS}), lin(6, 6), b.layer_norm((6,), {"eps": EPS}), b.layer_norm((6,), {"eps": EPS}), lin(6, 2)), (5, 6), \
        {"norms": [("0", True, False), ("2", False, True)]}
    yield "half batch norms", lambda: seq((8, 8, 3), L.Conv2D(4, 3, use_bias=False), L.BatchNormalization(scale=False), L.ReLU(), L.BatchNormalization(center=False),
                                          L.GroupNormalization(2, center=False), L.Conv2D(2, 1)), \
        lambda: b.seq(b.conv2d(3, 4, 3, {"no_bias": True}), b.batch_norm(4, {"eps": EPS}), b.relu(), b.batch_norm(4, {"eps": EPS}),
                      b.group_norm(2, 4, {"eps": EPS}), b.conv2d(4, 2, 1, {})), (8, 8, 3), \
        {"norms": [("1", True, False), ("3", False, True), ("4", False, True)]}
    yield "depthwise1d", lambda: seq((6, 3), L.DepthwiseConv1D(3, depth_multiplier=2)), lambda: b.conv1d(3, 6, 3, {"groups": 3}), (6, 3), {}
    yield "lstm", lambda: seq((7,), L.Embedding(11, 4), L.LSTM(5, return_sequences=True), L.Dense(2)), \
        lambda: b.seq(b.embedding(11, 4, {}), b.lstm(4, 5, {"batch_first": True}), lin(5, 2)), (7,), {}
    yield "lstms", lambda: seq((6, 3), L.LSTM(4, return_sequences=True), L.LSTM(4, return_sequences=True), L.Dense(2)), \
        lambda: b.seq(b.lstm(3, 4, {"batch_first": True, "layers": 2}), lin(4, 2)), (6, 3), {}
    yield "gru", lambda: seq((6, 3), L.GRU(4, return_sequences=True), L.GRU(3, return_sequences=True, use_bias=False)), \
        lambda: b.seq(b.gru(3, 4, {"batch_first": True}), b.gru(4, 3, {"batch_first": True, "no_bias": True})), (6, 3), {}
    yield "rnn", lambda: seq((6, 3), L.SimpleRNN(4, return_sequences=True), L.Dense(2)), \
        lambda: b.seq(b.rnn(3, 4, {"batch_first": True}), lin(4, 2)), (6, 3), {}
    yield "bidirectional", lambda: seq((6, 3), L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Bidirectional(L.GRU(2, return_sequences=True)), L.Dense(2)), \
        lambda: b.seq(b.lstm(3, 4, bi), b.gru(8, 2, bi), lin(4, 2)), (6, 3), {}
    yield "attention", attention_model, \
        lambda: b.dict(a=b.multihead_attention(8, 2, {"batch_first": True}), n=b.layer_norm((8,), {"eps": EPS}), d=lin(8, 3)), (5, 8), {}, \
        lambda t, m, x: t.forward(child(t, m, "d"), t.forward(child(t, m, "n"), t.add(x, t.forward(child(t, m, "a"), x))))
    yield "norms", lambda: seq((5, 8), L.LayerNormalization(center=False), L.RMSNormalization(), L.LayerNormalization(scale=False, center=False), L.Dense(6),
                               L.LayerNormalization()), \
        lambda: b.seq(b.layer_norm((8,), {"eps": EPS, "no_bias": True}), b.rms_norm((8,), {"eps": 1e-6}), b.layer_norm((8,), {"eps": EPS, "no_affine": True}),
                      lin(8, 6), b.layer_norm((6,), {"eps": EPS})), (5, 8), {}
    yield "group_norm", lambda: seq((4, 4, 6), L.GroupNormalization(3), L.PReLU(shared_axes=[1, 2]), L.Conv2D(2, 1)), \
        lambda: b.seq(b.group_norm(3, 6, {"eps": EPS}), b.prelu(6, .25), b.conv2d(6, 2, 1, {})), (4, 4, 6), {"one_way": True}
    yield "prelu", lambda: seq((4,), L.Dense(6), L.PReLU(), L.Dense(2)), lambda: b.seq(lin(4, 6), b.prelu(6, .25), lin(6, 2)), (4,), {}
    inner = lambda *l: keras.Sequential(list(l))
    yield "nested", lambda: seq((6,), L.Dense(4), inner(L.Dense(4), L.BatchNormalization(), inner(L.Dense(4)), L.Dense(4)), L.Dense(4), inner(L.BatchNormalization(), L.Dense(4))), \
        lambda: b.seq(lin(6, 4), b.seq(lin(4, 4), b.batch_norm(4, {"eps": EPS}), b.seq(lin(4, 4)), lin(4, 4)), lin(4, 4),
                      b.seq(b.batch_norm(4, {"eps": EPS}), lin(4, 4))), (6,), {}
    yield "flat", lambda: seq((6,), L.Dense(6), L.Dense(6), L.Dense(6)), lambda: b.seq(lin(6, 6), b.seq(lin(6, 6), lin(6, 6))), (6,), {"flat": True}
    yield "decoder", lambda: seq((5,), L.Dense(2 * 3 * 4, use_bias=True), L.BatchNormalization(), L.ReLU(), L.Reshape((2, 3, 4)), L.Conv2DTranspose(2, 2),
                                 L.Flatten(), L.BatchNormalization(), L.Dense(3)), \
        lambda: b.seq(lin(5, 24), b.batch_norm(24, {"eps": EPS}), b.relu(), b.unflatten(1, (4, 2, 3)), b.conv_transpose2d(4, 2, 2, {}),
                      b.flatten(), b.batch_norm(24, {"eps": EPS}), lin(24, 3)), (5,), {"orders": [("0", 0, 4), ("1", 4, 0), ("6", 0, 2), ("7", 2, 0)]}
    yield "subclassed", subclassed, \
        lambda: b.dict(front=lin(3, 4), blocks=b.seq(lin(4, 5), lin(5, 5)), head=b.seq(lin(5, 2))), (3,), \
        {"saved": [("front", "front"), ("blocks.0", "blocks/dense"), ("blocks.1", "blocks/dense_1"), ("head", "head")], "only_new": True}, \
        lambda t, m, x: t.forward(child(t, m, "head"), t.forward(child(t, m, "blocks"), t.forward(child(t, m, "front"), x)))


def child(t, m, name):
    return C.c_void_p(t.module_child(m, name))


def options(t, o, saving, older):
    names = o.get("saved", []) if saving else o.get("names", [])
    if saving and older:
        names = [(m, l.replace("layers/", "")) for m, l in names]
    elif not saving and not older:
        names = []
    name, order = t.struct("tern_keras_name"), t.struct("tern_keras_order")
    a = (name * max(len(names), 1))(*[name(m.encode(), l.encode()) for m, l in names])
    orders = o.get("orders", [])
    r = (order * max(len(orders), 1))(*[order(m.encode(), i, u) for m, i, u in orders])
    norm, norms = t.struct("tern_keras_norm"), o.get("norms", [])
    h = (norm * max(len(norms), 1))(*[norm(m.encode(), scale, center) for m, scale, center in norms])
    s = t.struct("tern_keras_opts")(names=C.cast(a, C.c_void_p), n_names=len(names), orders=C.cast(r, C.c_void_p), n_orders=len(orders),
                                    norms=C.cast(h, C.c_void_p), n_norms=len(norms), flat=o.get("flat", False))
    s.keep = (a, r, h)
    return s


def randomise(model, seed):
    r = np.random.default_rng(seed)
    values = []
    for w in model.weights:
        positive = w.path.endswith("variance")
        values.append(r.uniform(.5, 2, w.shape) if positive else r.normal(0, .5, w.shape))
    model.set_weights(values)


def sample(shape, seed):
    r = np.random.default_rng(seed)
    return r.integers(0, 11, (4, *shape)).astype(np.int64) if shape == (7,) else r.normal(size=(4, *shape)).astype(np.float32)


def spatial(name):
    return name not in ("lstm", "lstms", "gru", "rnn", "bidirectional", "attention", "norms", "half norms")


def run_tern(t, m, case, x):
    name, call = case[0], case[5] if len(case) > 5 else None
    scope = t.scope_push()
    if spatial(name) and x.ndim > 2:
        x = np.moveaxis(x, -1, 1)
    x = t.tensor(np.ascontiguousarray(x))
    y = t.numpy(call(t, m, x) if call else t.forward(m, x))
    t.scope_pop(scope)
    return np.moveaxis(y, 1, -1) if spatial(name) and y.ndim > 2 else y


def older_root(path, out):
    """As older versions wrote weights alone: in the file's root, and with TensorFlow's ":0" behind the names."""
    with h5py.File(path) as f, h5py.File(out, "w") as g:
        for k, v in f["model_weights"].attrs.items():
            g.attrs[k] = v
        for layer in f["model_weights"]:
            names = [n.decode() if isinstance(n, bytes) else n for n in f["model_weights"][layer].attrs["weight_names"]]
            group = g.create_group(layer)
            group.attrs["weight_names"] = np.array([(n + ":0").encode() for n in names])
            for n in names:
                group.create_dataset(n + ":0", data=f["model_weights"][layer][n][()], compression="gzip" if f["model_weights"][layer][n].shape else None)


def difference(got, want):
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    off = np.max(np.abs(got - want)) / max(1, np.max(np.abs(want)))
    return f"off by {off:.2g}" if not off <= 1e-5 else None


def check(t, case, folder):
    """Yields (what, None or what is wrong)."""
    name, build, module, shape, o = case[:5]
    x = sample(shape, 7)
    model = build()
    randomise(model, 1)
    want = np.asarray(model.predict(x, verbose=0))
    new, old, root = (os.path.join(folder, f) for f in ("k.weights.h5", "k.h5", "root.h5"))
    model.save_weights(new)
    files = [("new", new)]
    if not o.get("only_new"):
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        model.save(old)
        older_root(old, root)
        files += [("older, whole model", old), ("older, weights", root)]
        model.save_weights(new)  # with the optimizer's state
    for what, path in files:
        m = module()
        try:
            t.keras_load(path, m, options(t, o, False, what != "new"))
            t.module_train(m, False)
            yield f"{name}: Keras to Tern, {what}", difference(run_tern(t, m, case, x), want)
        except api.TernError as e:
            yield f"{name}: Keras to Tern, {what}", str(e)
        t.module_free(m)
    if o.get("one_way"):
        return
    for what, path in (("new", os.path.join(folder, "t.weights.h5")), ("older", os.path.join(folder, "t.h5")))[:1 if o.get("only_new") else 2]:
        m = module()
        t.module_train(m, False)
        mine = run_tern(t, m, case, x)
        try:
            t.keras_save(path, m, options(t, o, True, what == "older"))
            other = build()
            randomise(other, 2)
            other.load_weights(path)
            yield f"{name}: Tern to Keras, {what}", difference(np.asarray(other.predict(x, verbose=0)), mine)
        except (api.TernError, ValueError, KeyError) as e:
            yield f"{name}: Tern to Keras, {what}", f"{type(e).__name__}: {str(e)[:300]}"
        t.module_free(m)


def fixtures(out):
    """tests/reference/keras.def: KERAS(name, size of the file, (its bytes, packed by zlib), (input), (output))."""
    models = {
        "image": (lambda: seq((5, 6, 2), L.Conv2D(3, (2, 3), activation="relu"), L.BatchNormalization(), L.DepthwiseConv2D(2, depth_multiplier=2),
                              L.Conv2DTranspose(2, 2, strides=2), L.Flatten(), L.Dense(3)), (5, 6, 2)),
        "sequence": (lambda: seq((7,), L.Embedding(11, 3), L.Bidirectional(L.LSTM(2, return_sequences=True)), L.GRU(3, return_sequences=True),
                                 keras.Sequential([L.SimpleRNN(2, return_sequences=True), L.BatchNormalization(), L.Dense(2)])), (7,)),
        "attention": (attention_model, (5, 8)),
        "separable": (lambda: seq((4, 5, 2), L.SeparableConv2D(3, 2, depth_multiplier=2, use_bias=False), L.BatchNormalization(scale=False), L.ReLU(),
                                  L.SeparableConv2D(2, (1, 2)), L.BatchNormalization(center=False), L.Flatten(), L.Dense(2)), (4, 5, 2))}
    with tempfile.TemporaryDirectory() as folder, open(out, "w", encoding="utf-8") as f:
        print("/* Files of Keras's, and what Keras computes from them: KERAS(name, bytes, (packed by zlib), (input), (output)).\n"
              f" * Written by tests/reference/keras_check.py with Keras {keras.__version__}. */", file=f)
        for name, (build, shape) in models.items():
            keras.backend.clear_session()
            model, x = build(), sample(shape, 7)[:2]
            randomise(model, 1)
            y = np.asarray(model.predict(x, verbose=0))
            if spatial(name) and x.ndim > 2 and name in ("image", "separable"):
                x = np.moveaxis(x, -1, 1)
            for kind, path in (("new", "k.weights.h5"), ("older", "k.h5")):
                path = os.path.join(folder, path)
                (model.save_weights if kind == "new" else model.save)(path)
                with open(path, "rb") as g:
                    data = g.read()
                packed = ", ".join(map(str, zlib.compress(data, 9)))
                numbers = ["(" + ", ".join(f"{v:.9g}" for v in a.reshape(-1)) + ")" for a in (x, y)]
                text = f"KERAS({name}_{kind}, {len(data)}, ({packed}), {', '.join(numbers)})"
                print("\n".join(textwrap.wrap(text, 160)), file=f)


def main():
    p = argparse.ArgumentParser(usage="tests/reference/keras_check.py BUILD [--only NAME] [--fixtures FILE]")
    p.add_argument("build")
    p.add_argument("--only")
    p.add_argument("--fixtures")
    args = p.parse_args()
    if args.fixtures:
        return fixtures(args.fixtures)
    t = api.load(args.build)
    b = Builder(t)
    count = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(b):
            if args.only not in (None, case[0]):
                continue
            keras.backend.clear_session()
            t.seed(5)
            for what, wrong in check(t, case, folder):
                count += 1
                failed += wrong is not None
                if wrong:
                    print(f"FAILED   {what}: {wrong}")
    print(f"{count - failed} of {count} agree with Keras {keras.__version__}")
    return 2 if not count else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
