#!/usr/bin/env python3
"""Writes small good files of every format that Tern reads into FOLDER/READER, for the fuzz targets to start from."""
import base64
import gzip
import io
import json
import os
import struct
import sys
import zipfile
import zlib


def npy(descr, fortran, shape, data):
    head = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n" + data


def npz(method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        z.writestr("w.npy", npy("<f4", False, "(2, 3)", bytes(24)))
        z.writestr("n.npy", npy("<i8", False, "()", bytes(8)))
    return out.getvalue()


def safetensors(entries, data, **more):
    head = json.dumps({**more, **entries}).encode()
    return struct.pack("<Q", len(head)) + head + data


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(range(9)) for _ in range(3))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


JPEG = bytes.fromhex(  # 8 x 8, grey
    "ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b0c1912130f141d1a1f1e1d1a1c1c20"
    "242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ffc0000b080008000801011100ffc4001f0000010501010101010100000000"
    "000000000102030405060708090a0bffc400b5100002010303020403050504040000017d01020300041105122131410613516107227114328191a108"
    "2342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475"
    "767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2"
    "e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda0008010100003f00c3afffd9")


def pb(*fields):
    """A protocol buffer of (number, value): whole numbers, bytes and texts, all short."""
    def varint(n):
        return bytes([n]) if n < 128 else bytes([128 | n & 127]) + varint(n >> 7)
    out = b""
    for number, v in fields:
        if isinstance(v, int):
            out += varint(number << 3) + varint(v)
        else:
            v = v.encode() if isinstance(v, str) else v
            out += varint(number << 3 | 2) + varint(len(v)) + v
    return out


def onnx(*nodes, weights=()):
    tensor_type = pb((1, pb((1, 1), (2, pb((1, pb((1, 2))))))))
    info = [(11, pb((1, "x"), (2, tensor_type))), (12, pb((1, "y")))]
    graph = [(1, pb(*n)) for n in nodes] + [(2, "g")] + [(5, pb(*w)) for w in weights] + info
    return pb((1, 8), (7, pb(*graph)), (8, pb((2, 18))))


def constant(name, *values):
    """A node that makes the whole numbers, or floats."""
    floats = isinstance(values[0], float)
    listed = [(7, struct.pack(f"<{len(values)}f", *values))] if floats else [(8, v) for v in values]
    kind = "value_floats" if floats else "value_ints"
    return [(2, name), (4, "Constant"), (5, pb((1, kind), *listed, (20, 6 if floats else 7)))]


def node(op, inputs, output, *attributes):
    """A node; attributes are of one whole number, or one text."""
    return ([(1, i) for i in inputs] + [(2, output), (4, op)]
            + [(5, pb((1, k), (3, v), (20, 2)) if isinstance(v, int) else pb((1, k), (4, v), (20, 3))) for k, v in attributes])


# Made by h5py, packed: x [3, 2] and y [3]; a Dense and a BatchNormalization as Keras 3 has them, and as older files do.
HDF5 = {"h5": (
    "eNrr9HBx4+WS4mLm4GCAgf9QoAUVMoCKz3wYvcrfwyWIiaGCSQhZIQxwMTEwMjCw8TAAKcaKzVBtUH4lJxNUwIKBbHBx1buHYCcADWRUYWBgYmJkZIbKwYzH"
    "4IswMAoqyDOwgHkKDOIcDOL1QBYr0LXM3Nw8DIxAQ0AuBKvgAPqMhYmBmZGJiYWZaz8j1JAJDIMO7L1T0eXm6OHCwMjHBfPrbah7l79eH+7m6OLEwAj3ATQy"
    "hSAkCk9tfXc1PFRFgCHHiAhVOA0MJwEOWKgKQEKPCxRazIwqUNPYYE7bwTBkQfxk/VqGUTAKRsEoGP6gIi45gaGRrVrhIYMLHwOnO2MDSCSjICEhguGIALCC"
    "uMC4EFR9MzEAAEdAQhE=",), "keras": (
    "eNrr9HBx4+WS4mLm4GCAgf9QICEE4RtAxZknRXzx93AJYmKoYBJCVggDXEwMjAwMbIIMQIotJ7Eytah4M8xQZwZqANaSmZnEOEEA5ATWlNS84lQzRohWNjmQ"
    "mHBSYklyRnxeflFuYk5mVWJJZn5eCAvUdCVinDBlQUIKMU7gB1nHUpZYVLwT6gIGVwbqgL7ot5bEOIEH5ARGAxsmaAhA+IYezFBzLMh3ws7Ae/lgJwANZFRh"
    "YGBiYmSEGcsESy/ofBEGRkEFeQZIcCswiHMwiNeDIhXoWmYuDqBPmBkZoMlQAmbRAoZBDw4G5YrCw0IE6F9GRkYmMvwuAfU7PCduYBhyQPX46auk5Y7rLFTO"
    "HT3XN18nIXdEsaLmjjQ2FL4RgwAK35hHkAEtiWKCOfwvXamRIhSGQYpIrrj7iBphoTEMwsK1InTTYHNTgz2QcAAiIG4A4gVAfMABIU6IHgWjYBSMglEwCkbB"
    "UAPUaJkZDIOW2cHA91LUCAuLYRAWX9yTLgAA7WfGuQ==",
    "eNrr9HBx4+WS4mLm4GCAgf9QoCIM4RtAxQVTzi3093AJYmLoFRBgYPBmhAgbQaW5mBiAIqJCDCwII2CAJ5yBgZmBh4GDQYSBISexMrUoPi8xN7WYQRioBWQN"
    "EyMjIxPUIBidkppXnMqAApISS5Iz4vPyi3ITczKrEksy8/MYGDz9/KZD3FXBJITsARjA5zKQT2qhPgmD2sIGFGNkYAXbfxkqxyDFgAdUmHA99Xf28MZuP8iO"
    "jywQlXZQHVMfH94F0sHjBQoZXkjIlKdmpmeUIAUND76g0c9OLcpLzYGwkzITixkY9LiPhhIRFGyCIA+yQfSHQQ1l4wcJsoAMSmJmQI16EoBmxIHtYCcwMjAy"
    "qgCdDHQ/M5rzMfgiDIyCCvIMkDBSYBDnYBCvB7JYga5l5uIA+oSZkQGaQCVgFi1gGPTgYFCuKDwsRLBHJTF+l4D6HZ5HNzAMOaB6/PRVinKpPivEoFOwXCoH"
    "Sq/CWIqEn1CV4OyDBL5mN5uD8hxy/j5B0LQ8aM49MtPtNDjH7sOXY5WhORaqiYEFd8mln56Ym5uIt3DTT0otScRf/unn5pdl5qXH56Ym5hFQUpZYlJmYl5w6"
    "44fKKWJKCUgwgV1Zw4ZaSICcJQAVEgMJcSM5g0cQIgOKtQ52CFuNASXvuyT336ZGzlAYBjkjueLuI3CylAIFJD9aZEkIQVQVpi2ZRgvbG+yBhAMQAXEDEC8A"
    "4gMOCHFC9CgYBaNgFIyCUTAKhhqgRhtMYxi0wVwrQjdRIywMhkFYHAx8L0WNsLAYBmHxxT3pAgDOiF95")}


def hdf5(name):
    return [zlib.decompress(base64.b64decode(text)) for text in HDF5[name]]


def index(**where):
    return json.dumps({"metadata": {"total_size": 8}, "weight_map": where}).encode() + b"\0"


def adapter(dtype, size, **more):
    """Of rank 2 for linear layers of 3 to 2 and 2 to 1: adapter_config.json, a zero, adapter_model.safetensors."""
    entries, at = {}, 0
    for name, shape in (("0.lora_A", [2, 3]), ("0.lora_B", [2, 2]), ("1.lora_A", [2, 2]), ("1.lora_B", [1, 2])):
        end = at + size * shape[0] * shape[1]
        entries[f"base_model.model.{name}.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "lora_dropout": 0.1, "target_modules": ["0", "1"], "bias": "none", **more}
    return json.dumps(config).encode() + b"\0" + safetensors(entries, bytes(at))


def files():
    f32 = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    i64 = {"dtype": "I64", "shape": [], "data_offsets": [24, 32]}
    u16 = {"dtype": "U16", "shape": [2], "data_offsets": [32, 36]}
    idx = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))
    return {
        "safetensors": [safetensors({"w": f32}, bytes(24)),
                        safetensors({"w": f32, "n": i64, "u": u16}, bytes(36), __metadata__={"format": "pt"}), safetensors({}, b"")],
        "safetensors_index": [index(w="a", b="b") + safetensors({"w": f32}, bytes(24)), index(w="a", n="a") + safetensors({"w": f32, "n": i64}, bytes(32)),
                              index(b="b"), index(w="a") + safetensors({"w": f32}, bytes(24)), index()],
        "adapter": [adapter("F32", 4), adapter("BF16", 2, use_rslora=True, rank_pattern={}, modules_to_save=None)],
        "npy": [npy("<f4", False, "(2, 3)", bytes(24)), npy(">i2", True, "(2, 3)", bytes(12)), npy("|b1", False, "()", b"\1"),
                npy("<V2", False, "(1,)", bytes(2))],
        "npz": [npz(zipfile.ZIP_STORED), npz(zipfile.ZIP_DEFLATED)],
        "idx": [idx, gzip.compress(idx, mtime=0), bytes([0, 0, 14, 1, 0, 0, 0, 1]) + bytes(8)],
        "picture": [png(), JPEG],
        "vocab": [b'{"a":0,"b":1,"ab":2}', '{"\u0120the":3,"<|endoftext|>":0}'.encode()],
        "merges": [b"#version: 0.2\na b\nab a\n", "a b\r\n\u0120 a".encode()],
        "csv": [b'a,"b ""c""",d\n1,2.5,x\r\n-3,NA,"y\nz"\n', b"\xef\xbb\xbfa\n1\n\n2"],
        "cifar": [bytes(range(10)) + bytes(3063)],
        "tokens": [bytes(3) + struct.pack("<20H", *range(20))],
        "onnx": [onnx([(1, "x"), (2, "y"), (3, "n"), (4, "Relu")]),
                 onnx([(1, "x"), (1, "a.w"), (1, "a.b"), (2, "y"), (4, "Gemm"), (5, pb((1, "transB"), (3, 1), (20, 2)))],
                      weights=[[(1, 1), (1, 2), (2, 1), (8, "a.w"), (9, bytes(8))], [(1, b"\1"), (2, 1), (4, bytes(4)), (8, "a.b")]]),
                 onnx([(2, "s"), (4, "Constant"), (5, pb((1, "value_ints"), (8, 1), (8, 2), (20, 7)))],
                      [(1, "x"), (1, "s"), (2, "r"), (4, "Reshape")],
                      [(1, "x"), (1, "r"), (1, "r"), (2, "y"), (4, "LSTM"), (5, pb((1, "activations"), (9, "Tanh"), (20, 8)))]),
                 onnx([(2, "y"), (4, "Constant"), (5, pb((1, "value"), (5, pb((1, 2), (2, 7), (7, 1), (7, 2))), (20, 4)))])],
        "onnx_run": [onnx(constant("a", 1), constant("b", 7), constant("d", 2), node("Range", ["a", "b", "d"], "y")),
                     onnx(constant("a", 0.5), constant("b", 3.0), constant("d", 1.0), node("Range", ["a", "b", "d"], "y")),
                     onnx(constant("k", 1), node("Concat", ["x", "x"], "c", ("axis", 0)), node("Trilu", ["c", "k"], "y", ("upper", 0))),
                     onnx(constant("s", 2.0, 1.5), node("Resize", ["x", "", "s"], "y", ("mode", "linear"))),
                     onnx(constant("n", 3, 4), node("Resize", ["x", "", "", "n"], "y", ("nearest_mode", "ceil"))),
                     onnx(constant("n", 0), node("CumSum", ["x", "n"], "c"), node("TopK", ["c", "n"], "y", ("axis", 0)))],
        "h5": hdf5("h5"),
        "keras": hdf5("keras"),
        "checkpoint": [b"\x89HDF\r\n\x1a\n" + bytes(24)],
    }


def main():
    folder = sys.argv[1]
    for name, contents in files().items():
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        for i, data in enumerate(contents):
            with open(os.path.join(folder, name, str(i)), "wb") as f:
                f.write(data)


if __name__ == "__main__":
    main()
