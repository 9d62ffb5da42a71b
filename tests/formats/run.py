#!/usr/bin/env python3
"""Files that go from Tern to Python and back, each with the other side's own library.

    tests/formats/run.py --build BUILD

safetensors, NumPy (npy, npz), DLPack by torch.utils.dlpack, pictures by Pillow, event files by TensorBoard's reader, HDF5
datasets by h5py, byte-pair encoding by Hugging Face's tokenizers (on its own random text, and on what TERN_DATA has). What is not installed is named as
skipped; NumPy is needed. Ends with 1 on a difference."""
import argparse
import ctypes as C
import os
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import api  # noqa: E402

DTYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32, "u8": np.uint8,
          "bool": np.bool_}
failures = []


def check(what, got, want):
    same = got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes()
    if not same:
        failures.append(what)
    print(f"{'ok  ' if same else 'DIFFERENT'} {what}")


def samples():
    r = np.random.default_rng(1)
    for name, dtype in DTYPES.items():
        a = (r.uniform(-3, 3, (3, 5)) if name[0] == "f" else r.integers(0, 2 if name == "bool" else 100, (3, 5))).astype(dtype)
        yield name, a
    yield "scalar", np.array(2.5, np.float32)
    yield "empty", np.zeros((0, 4), np.float32)
    yield "large", r.normal(size=(300, 1000)).astype(np.float32)


def address(p):
    return C.c_void_p(p)


def to_archive(t, arrays):
    a = address(t.archive_new())
    for name, x in arrays.items():
        t.archive_put(a, name, t.tensor(x))
    return a


def from_archive(t, a):
    entry = t.struct("tern_archive_entry")
    got, e, i = {}, entry(), 0
    while t.archive_each(a, i, C.byref(e)):
        got[e.name.decode()] = t.numpy(api.Tensor(e.tensor))
        i += 1
    return got


def numpy_files(t, folder):
    arrays = dict(samples())
    for name, x in arrays.items():
        path = os.path.join(folder, "a.npy")
        t.npy_save(path, t.tensor(x))
        check(f"npy, Tern to NumPy, {name}", np.load(path), x)
        for form, y in (("", x), (" in Fortran order", np.array(x, order="F")), (" big-endian", x.astype(x.dtype.newbyteorder(">")))):
            np.save(path, y)
            back = t.npy_load(path)
            check(f"npy, NumPy to Tern, {name}{form}", t.numpy(back), x)
            t.release(back)
    for compress in (False, True):
        path = os.path.join(folder, "a.npz")
        a = to_archive(t, arrays)
        t.npz_save(path, a, compress)
        t.archive_free(a)
        with np.load(path) as z:
            check(f"npz names, packed {compress}", np.array(sorted(z.files)), np.array(sorted(arrays)))
            for name, x in arrays.items():
                check(f"npz, Tern to NumPy, packed {compress}, {name}", z[name], x)
        (np.savez_compressed if compress else np.savez)(path, **arrays)
        a = address(t.npz_load(path))
        for name, x in from_archive(t, a).items():
            check(f"npz, NumPy to Tern, packed {compress}, {name}", x, arrays[name])
        t.archive_free(a)


def safetensors_files(t, folder):
    try:
        import safetensors
        import safetensors.numpy as library
    except ImportError:
        print("skipped: safetensors is not installed")
        return
    arrays, path = dict(samples()), os.path.join(folder, "a.safetensors")
    a = to_archive(t, arrays)
    t.archive_set_text(a, "format", "pt")
    t.safetensors_save(path, a, {})
    for name, x in library.load_file(path).items():
        check(f"safetensors, Tern to {safetensors.__version__}, {name}", x, arrays[name])
    with safetensors.safe_open(path, "np") as f:
        check("safetensors, metadata", np.array(f.metadata()["format"]), np.array("pt"))
    t.archive_free(a)
    library.save_file(arrays, path, metadata={"who": "python"})
    for copy in (False, True):
        a = address(t.safetensors_load(path, {"copy": copy}))
        got = from_archive(t, a)
        check("safetensors, number of tensors", np.array(len(got)), np.array(len(arrays)))
        for name, x in got.items():
            check(f"safetensors, {safetensors.__version__} to Tern, {name}", x, arrays[name])
        t.archive_free(a)
    others = {"i8": np.array([-3, 4], np.int8), "i16": np.array([-300], np.int16), "u16": np.array([60000], np.uint16),
              "u32": np.array([4000000000], np.uint32), "u64": np.array([2 ** 62], np.uint64)}
    library.save_file(others, path)
    a = address(t.safetensors_load(path, {}))
    for name, x in from_archive(t, a).items():
        wide = np.int32 if x.dtype == np.int32 else np.int64
        check(f"safetensors, wider integers, {name}", x, others[name].astype(wide))
    t.archive_free(a)


def capsule(pointer, name):
    new = C.pythonapi.PyCapsule_New
    new.restype, new.argtypes = C.py_object, [C.c_void_p, C.c_char_p, C.c_void_p]
    return new(pointer, name, None)


def pointer_in(cap, name):
    get = C.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = C.c_void_p, [C.py_object, C.c_char_p]
    rename = C.pythonapi.PyCapsule_SetName
    rename.argtypes = [C.py_object, C.c_char_p]
    p = get(cap, name)
    rename(cap, b"used_" + name)
    return p


KEPT = [b"dltensor", b"dltensor_versioned", b"used_dltensor", b"used_dltensor_versioned"]  # capsules do not copy names


def dlpack(t):
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed")
        return
    for name, x in samples():
        ours = t.tensor(x)
        for label, export in ((b"dltensor", t.dlpack_export_unversioned), (b"dltensor_versioned", t.dlpack_export)):
            theirs = torch.utils.dlpack.from_dlpack(capsule(export(ours), KEPT[KEPT.index(label)]))
            check(f"DLPack, Tern to PyTorch {torch.__version__}, {label.decode()}, {name}", theirs.numpy(), x)
            if x.size and name != "bool":
                theirs.view(-1)[0] = 1
                check(f"DLPack, the same memory, {name}", t.numpy(ours).reshape(-1)[:1], np.ones(1, x.dtype))
                theirs.view(-1)[0] = x.reshape(-1)[0].item()
            del theirs
        p = torch.from_numpy(np.array(x))
        p = p.T if p.ndim == 2 else p
        got = t.dlpack_import_unversioned(address(pointer_in(torch.utils.dlpack.to_dlpack(p), b"dltensor")), False)
        check(f"DLPack, PyTorch to Tern, {name}", t.numpy(got), np.array(p.numpy(), order="C"))
        cap = p.__dlpack__(max_version=(1, 0))
        got = t.dlpack_import(address(pointer_in(cap, b"dltensor_versioned")), False)
        check(f"DLPack 1.x, PyTorch to Tern, {name}", t.numpy(got), np.array(p.numpy(), order="C"))


def pictures(t, folder):
    try:
        import PIL
        from PIL import Image
    except ImportError:
        print("skipped: Pillow is not installed")
        return
    r = np.random.default_rng(2)
    path = os.path.join(folder, "a.png")
    for mode, shape in (("L", (5, 7)), ("LA", (5, 7, 2)), ("RGB", (5, 7, 3)), ("RGBA", (5, 7, 4))):
        x = r.integers(0, 256, shape).astype(np.uint8)
        planes = np.ascontiguousarray(x.reshape(5, 7, -1).transpose(2, 0, 1))
        t.picture_save(path, t.tensor(planes))
        check(f"PNG, Tern to Pillow {PIL.__version__}, {mode}", np.asarray(Image.open(path)), x)
        Image.fromarray(x, mode).save(path)
        for channels, convert in ((0, mode), (1, "L"), (3, "RGB"), (4, "RGBA")):
            got = t.picture_load(path, {"channels": channels})
            want = np.asarray(Image.open(path).convert(convert)).reshape(5, 7, -1).transpose(2, 0, 1)
            check(f"PNG, Pillow to Tern, {mode} as {convert}", t.numpy(got), np.array(want, order="C"))
            t.release(got)
    x = (127 + 100 * np.sin(np.arange(40 * 30 * 3) / 500)).reshape(40, 30, 3).astype(np.uint8)
    Image.fromarray(x).quantize(16).save(path)
    got = t.picture_load(path, {"channels": 3})
    check("PNG with a palette, Pillow to Tern", t.numpy(got),
          np.array(np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1), order="C"))
    t.release(got)
    path = os.path.join(folder, "a.jpg")
    Image.fromarray(x).save(path, quality=90)
    got = t.picture_load(path, {})
    want = np.asarray(Image.open(path)).transpose(2, 0, 1).astype(int)
    check("JPEG, Pillow to Tern, within 4 of 255", np.array(np.abs(t.numpy(got).astype(int) - want).max() <= 4), np.array(True))
    t.release(got)
    t.picture_save(path, t.tensor(np.ascontiguousarray(x.transpose(2, 0, 1))))
    check("JPEG, Tern to Pillow, within 8 of 255",
          np.array(np.abs(np.asarray(Image.open(path)).astype(int) - x.astype(int)).max() <= 8), np.array(True))


def tensorboard(t, folder):
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.plugins.hparams import plugin_data_pb2
        import tensorboard.version
    except ImportError:
        print("skipped: TensorBoard is not installed")
        return
    version = "TensorBoard " + tensorboard.version.VERSION
    folder = os.path.join(folder, "run")
    x = np.random.default_rng(3).normal(size=1000).astype(np.float32)
    grid = np.random.default_rng(4).integers(0, 256, (3, 6, 9)).astype(np.uint8)
    w = address(t.tensorboard_open(folder))
    for i in range(50):
        t.tensorboard_scalar(w, "loss/train", 1 / (i + 1), i)
    t.tensorboard_histogram(w, "weights", t.tensor(x), 7)
    t.tensorboard_image(w, "picture", t.tensor(grid), 8)
    t.tensorboard_text(w, "notes", "a *note*", 9)
    hparam = t.struct("tern_hparam")
    params = (hparam * 2)(hparam(b"lr", 0.1, None), hparam(b"model", 0, b"cnn"))
    metrics = (C.c_char_p * 1)(b"loss/train")
    t.tensorboard_hparams(w, C.cast(params, C.c_void_p), 2, C.cast(metrics, C.c_void_p), 1)
    t.tensorboard_close(w)
    a = EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
    a.Reload()
    got = a.Scalars("loss/train") if "loss/train" in a.Tags()["scalars"] else a.Tensors("loss/train")
    check(f"{version}, scalars", np.array([(e.step, getattr(e, "value", None)) for e in got], np.float64),
          np.array([(i, np.float32(1 / (i + 1))) for i in range(50)], np.float64))
    h = a.Histograms("weights")[0]
    counts = np.histogram(x.astype(np.float64), 30)[0].astype(np.float64)
    check(f"{version}, histogram", np.array([h.step, *h.histogram_value.bucket]), np.array([7, *counts]))
    check(f"{version}, histogram's sums", np.round([h.histogram_value.num, h.histogram_value.sum, h.histogram_value.sum_squares], 6),
          np.round([1000, x.astype(np.float64).sum(), (x.astype(np.float64) ** 2).sum()], 6))
    image = a.Images("picture")[0]
    check(f"{version}, image's size", np.array([image.step, image.width, image.height]), np.array([8, 9, 6]))
    try:
        import io
        from PIL import Image
        check(f"{version}, image", np.asarray(Image.open(io.BytesIO(image.encoded_image_string))).transpose(2, 0, 1), grid)
    except ImportError:
        print("skipped: Pillow is not installed")
    text = a.Tensors("notes/text_summary")[0]
    check(f"{version}, text", np.array(text.tensor_proto.string_val[0].decode()), np.array("a *note*"))
    content = a.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    check(f"{version}, hyperparameters", np.array([str(start.hparams["lr"].number_value), start.hparams["model"].string_value]),
          np.array(["0.1", "cnn"]))
    content = a.summary_metadata["_hparams_/experiment"].plugin_data.content
    e = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    check(f"{version}, experiment", np.array([i.name for i in e.hparam_infos] + [e.metric_infos[0].name.tag]),
          np.array(["lr", "model", "loss/train"]))


def tokenizer(t, folder):
    try:
        import json
        import tokenizers
    except ImportError:
        print("skipped: tokenizers is not installed")
        return
    name = "tokenizers " + tokenizers.__version__
    r = np.random.default_rng(5)
    letters = list("abcdefgh  \n'.,;0123éüß漢字😀\t")
    text = "".join(r.choice(letters, 200000, p=r.dirichlet(np.ones(len(letters)))))
    texts = {"random text": text}
    data = os.environ.get("TERN_DATA", "")
    shakespeare = os.path.join(data, "tinyshakespeare", "input.txt")
    if data and os.path.exists(shakespeare):
        with open(shakespeare, encoding="utf-8") as f:
            texts["Shakespeare"] = f.read()
    special = C.cast((C.c_char_p * 1)(b"<|endoftext|>"), C.c_void_p)
    files = [os.path.join(folder, n) for n in ("vocab.json", "merges.txt", "text")]

    def numbers(k, x):
        raw = x.encode()
        ids = (C.c_int32 * len(raw))()
        n = t.tokenizer_encode(k, raw, len(raw), {}, ids, len(raw))
        back = C.create_string_buffer(len(raw) + 1)
        t.tokenizer_decode(k, ids, n, back, len(raw) + 1)
        return np.array(ids[:n], np.int32), back.raw[:-1] == raw

    for label, x in texts.items():
        with open(files[2], "w", encoding="utf-8", newline="") as f:
            f.write(x)
        theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
        theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        theirs.train_from_iterator([x], tokenizers.trainers.BpeTrainer(
            vocab_size=1000, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
        k = address(t.tokenizer_train(x.encode(), len(x.encode()), 1000, {"special": special, "n_special": 1}))
        t.tokenizer_save(k, files[0], files[1])
        with open(files[0], encoding="utf-8") as f:
            check(f"{name}, learned vocabulary, {label}", np.array(sorted(json.load(f).items(), key=lambda i: i[1])).ravel(),
                  np.array(sorted(theirs.get_vocab().items(), key=lambda i: i[1])).ravel())
        ids, same = numbers(k, x)
        check(f"{name}, encoding with it, {label}", ids, np.array(theirs.encode(x).ids, np.int32))
        check(f"decoding, {label}", np.array(same), np.array(True))
        t.tokenizer_free(k)
    vocab, merges = (os.path.join(data, "gpt2", n) for n in ("vocab.json", "merges.txt"))
    if data and os.path.exists(vocab):
        theirs = tokenizers.ByteLevelBPETokenizer(vocab, merges)
        k = address(t.tokenizer_load(vocab, merges))
        for label, x in texts.items():
            ids, same = numbers(k, x)
            check(f"{name}, GPT-2's vocabulary, {label}", ids, np.array(theirs.encode(x).ids, np.int32))
            check(f"decoding, GPT-2's vocabulary, {label}", np.array(same), np.array(True))
        t.tokenizer_free(k)


def batch_of(t, d):
    """All samples of a dataset as two arrays."""
    d, b = address(d), t.struct("tern_batch")()
    loader = address(t.loader_new(d, {"batch": 1000}))
    t.loader_next(loader, C.byref(b))
    x, y = t.numpy(api.Tensor(b.x)), t.numpy(api.Tensor(b.y))
    t.loader_free(loader)
    t.dataset_free(d)
    return x, y


def hdf5(t, folder):
    """Datasets of files that h5py wrote, in all types and ways of packing that Tern takes."""
    try:
        import h5py
    except ImportError:
        print("skipped: h5py is not installed")
        return
    r, path = np.random.default_rng(3), os.path.join(folder, "a.h5")
    ways = {"plain": {}, "gzip": {"compression": "gzip"}, "shuffle": {"compression": "gzip", "shuffle": True},
            "chunks": {"chunks": (3, 2, 2), "fletcher32": True}}
    became = {"u1": "u1", "i1": "i4", ">i2": "i4", "u2": "i4", "i4": "i4", ">u4": "i8", "i8": "i8", "f2": "f4", "f4": "f4",
              ">f8": "f8", "?": "?"}
    for i, (dtype, want) in enumerate(became.items()):
        way = list(ways)[i % len(ways)]
        x, y = r.integers(0, 120, (10, 4, 3)).astype(dtype), np.arange(10)
        with h5py.File(path, "w") as f:
            f.create_dataset("train/x", data=x, **ways[way])
            f["y"] = y
        got = batch_of(t, t.h5_dataset_new(path, "train/x", "y"))
        check(f"h5py's {dtype}, {way}", got[0], x.astype(want))
        check(f"h5py's classes beside {dtype}", got[1], y)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", required=True, help="build folder with libtern.so")
    build = p.parse_args().build
    t = api.load(build)
    with tempfile.TemporaryDirectory() as folder:
        numpy_files(t, folder)
        safetensors_files(t, folder)
        dlpack(t)
        pictures(t, folder)
        tensorboard(t, folder)
        tokenizer(t, folder)
        hdf5(t, folder)
    t.scope_pop(0)
    print(f"{len(failures)} differences")
    for f in failures:
        print("   ", f)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
