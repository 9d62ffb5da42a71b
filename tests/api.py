"""Tern's C API as its public headers declare it: what a function takes, what a struct holds; and calls through ctypes.
For tools outside the product (the ONNX harness, the nonsense sweep, the checks of the docs).

    functions, structs, enums = api.parse()
    t = api.load("build/release")
    y = t.softmax(t.tensor(array), -1)      # tern_softmax; numbers, tuples (shapes), lists and dicts (options) convert
"""
import ctypes as C
import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BASE = {"int": C.c_int, "double": C.c_double, "float": C.c_float, "bool": C.c_bool, "int64_t": C.c_int64,
        "int32_t": C.c_int32, "uint64_t": C.c_uint64, "uint32_t": C.c_uint32, "int16_t": C.c_int16, "size_t": C.c_size_t,
        "uint8_t": C.c_uint8, "uint16_t": C.c_uint16, "char": C.c_char, "unsigned": C.c_uint, "long": C.c_long}


class Param:
    def __init__(self, text):
        text = " ".join(text.split())
        m = re.match(r"^(.*?)(\w+)\s*((?:\[\w*\])*)$", text)
        self.name = m.group(2) if m else ""
        self.type = m.group(1).strip() if m else text
        self.array = re.findall(r"\[(\w*)\]", m.group(3)) if m else []
        if not self.type:
            self.type, self.name = self.name, ""
        self.base = re.sub(r"\bconst\b|\bstruct\b|\*", "", self.type).strip()
        self.pointers = self.type.count("*") + len(self.array)
        self.const = self.type.startswith("const")

    def __repr__(self):
        return f"{self.type} {self.name}{''.join(f'[{a}]' for a in self.array)}"


class Function:
    def __init__(self, name, returns, params, header, comment):
        self.name, self.returns, self.params, self.header, self.comment = name, returns, params, header, comment


def headers():
    found = []
    for folder in ("core", "nn", "optim", "io"):
        for h in sorted(glob.glob(os.path.join(ROOT, folder, "*.h"))):
            with open(h, encoding="utf-8") as f:
                if "TERN_API" in f.read():
                    found.append(h)
    return found


def split_commas(text):
    parts, depth, at = [], 0, ""
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            parts.append(at)
            at = ""
        else:
            at += c
    return parts + [at] if at.strip() else parts


def parse(files=None):
    functions, structs, enums, opaque, callbacks = [], {}, {}, set(), {}
    constants = {}
    for h in files or headers():
        with open(h, encoding="utf-8") as f:
            text = f.read()
        constants.update({k: int(v) for k, v in re.findall(r"#define (TERN_\w+)\s+(\d+)\b", text)})
        # comments are remembered by position so that a function can be given the one before it
        marks = []

        def hide(m):
            marks.append(m.group(0))
            return f" @{len(marks) - 1}@ " if m.group(0).count("\n") >= 0 else " "
        text = re.sub(r"/\*.*?\*/", hide, text, flags=re.S)
        text = re.sub(r"\\\n", " ", text)
        text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
        text = text.replace('extern "C" {', "")
        bare = re.sub(r"@\d+@", " ", text)
        for body, name in re.findall(r"typedef enum \w*\s*\{(.*?)\}\s*(\w+)\s*;", bare, re.S):
            at, values = 0, {}
            for item in split_commas(body):
                k, _, v = item.partition("=")
                at = int(v.strip(), 0) if v.strip() else at
                values[k.strip()] = at
                at += 1
            enums[name] = values
        for body, name in re.findall(r"typedef struct \w*\s*\{(.*?)\}\s*(\w+)\s*;", bare, re.S):
            structs[name] = [p for line in body.split(";") if line.strip() for p in fields(line)]
        opaque |= set(re.findall(r"typedef struct (\w+) \1\s*;", bare))
        for ret, name, params in re.findall(r"typedef ([\w\s\*]+?)\(\*(\w+)\)\((.*?)\)\s*;", bare, re.S):
            callbacks[name] = (ret.strip(), params)
        last = ""
        for m in re.finditer(r"@(\d+)@|TERN_API\s+([^;{]+?);", text, re.S):
            if m.group(1):
                last = marks[int(m.group(1))]
                continue
            declaration = re.sub(r"@\d+@", " ", m.group(2))
            declaration = re.sub(r"TERN_PRINTF\(.*?\)\s*$", "", declaration.strip())
            d = re.match(r"^(.*?)\b(tern_\w+)\s*\((.*)\)$", declaration, re.S)
            if not d:
                continue
            params = [Param(p) for p in split_commas(d.group(3)) if p.strip() not in ("void", "")]
            functions.append(Function(d.group(2), " ".join(d.group(1).split()), params, os.path.basename(h), last))
    return functions, structs, enums, {"opaque": opaque, "callbacks": callbacks, "constants": constants}


def fields(line):
    """int64_t stride[2], pad[2] -> one Param each."""
    line = " ".join(line.split())
    if "(*" in line:
        return [Param("void *" + re.search(r"\(\*(\w+)\)", line).group(1))]
    first, *rest = split_commas(line)
    p = Param(first)
    return [p] + [Param(f"{p.type.rstrip('*').strip()} {r.strip()}") for r in rest]


class TernError(Exception):
    def __init__(self, name, code, message):
        super().__init__(message)
        self.name, self.code = name, code


class Tensor:
    """A tensor's address; it belongs to the library's current scope."""
    def __init__(self, address):
        self.address = address


class Out:
    """Takes n tensors from a tern_tensor ** parameter; Out() is one."""
    def __init__(self, n=1):
        self.array = (C.c_void_p * max(n, 1))()

    def __getitem__(self, i):
        return Tensor(self.array[i]) if self.array[i] else None


class Library:
    def __init__(self, path):
        self.c = C.CDLL(path)
        functions, self.structs, self.enums, more = parse()
        self.functions = {f.name: f for f in functions}
        self.constants, self.callbacks = more["constants"], more["callbacks"]
        self.made = {}
        self.c.tern_error_message.restype = C.c_char_p
        self.c.tern_ok.restype = C.c_bool  # an int would read three bytes that a bool leaves as they were
        self.c.tern_on_error(None, None)

    # ---- types
    def struct(self, name):
        if name not in self.made:
            members = []
            for p in self.structs[name]:
                t = self.ctype(p.type, pointers=p.type.count("*"))
                for a in reversed(p.array):
                    t = t * (int(a) if a.isdigit() else self.constants[a])
                members.append((p.name, t))
            self.made[name] = type(name, (C.Structure,), {"_fields_": members})
        return self.made[name]

    def ctype(self, text, pointers=0):
        base = re.sub(r"\bconst\b|\bstruct\b|\*", "", text).strip()
        if pointers or base in self.callbacks:
            return C.c_char_p if base == "char" and pointers == 1 else C.c_void_p
        if base == "void":
            return None
        if base in self.enums:
            return C.c_int
        if base in self.structs:
            return self.struct(base)
        return BASE[base]

    # ---- calls
    def convert(self, p, v, keep):
        if p.pointers == 0:
            if p.base == "tern_shape":
                s = self.struct("tern_shape")(ndim=len(v))
                s.dim[:len(v)] = [int(x) for x in v]
                return s
            if p.base in self.structs:
                return v if isinstance(v, C.Structure) else self.options(p.base, v or {}, keep)
            if p.base == "double":
                return C.c_double(v)
            if p.base == "bool" and v not in (True, False):  # ctypes takes anything: a forgotten option struct is true
                raise TypeError(f"{p} takes true or false, not {v!r}")
            return self.ctype(p.type)(v)
        if v is None:
            return None
        if isinstance(v, Tensor):
            return C.c_void_p(v.address)
        if isinstance(v, Out):
            return v.array
        if isinstance(v, (bytes, str)):
            return v.encode() if isinstance(v, str) else v
        if isinstance(v, (list, tuple)):
            if p.base in ("tern_tensor",):
                a = (C.c_void_p * max(len(v), 1))(*[x.address if x else None for x in v])
            else:
                a = (BASE[p.base] * max(len(v), 1))(*v)
            keep.append(a)
            return a
        return v

    def options(self, name, values, keep):
        s = self.struct(name)()
        for k, v in values.items():
            p = next((q for q in self.structs[name] if q.name == k), None)
            if p is None:
                raise AttributeError(f"{name} has no {k}")
            if p.array and not p.type.endswith("*"):
                for i, x in enumerate(v if isinstance(v, (list, tuple)) else [v]):
                    getattr(s, k)[i] = x
            elif isinstance(v, Tensor):
                setattr(s, k, v.address)
            elif v is None:
                pass
            elif isinstance(v, (list, tuple)):
                a = self.convert(p, v, keep)
                setattr(s, k, C.cast(a, C.c_void_p).value)
            elif isinstance(v, dict):
                setattr(s, k, self.options(p.base, v, keep))
            else:
                setattr(s, k, v)
        return s

    def __getattr__(self, short):
        name = "tern_" + short
        f = self.functions.get(name)
        if f is None:
            raise AttributeError(f"Tern has no {name}")
        pointer = f.returns.count("*")
        raw = getattr(self.c, name)
        raw.restype = self.ctype(f.returns, pointer)

        def call(*args):
            if len(args) != len(f.params):
                raise TypeError(f"{name} takes {len(f.params)} arguments: {f.params}")
            keep = []
            given = [self.convert(p, v, keep) for p, v in zip(f.params, args)]
            result = raw(*given)
            if not self.c.tern_ok():
                message = self.c.tern_error_message().decode()
                code = self.c.tern_error_code()
                self.c.tern_error_clear()
                raise TernError(name, code, message)
            if re.search(r"\btern_tensor\b", f.returns):
                return Tensor(result) if result else None
            return result
        self.__dict__[short] = call
        return call

    # ---- tensors and arrays (NumPy)
    def tensor(self, a):
        import numpy as np
        a = np.asarray(a)
        dtype = self.dtype(a.dtype)
        shape = a.shape
        a = np.ascontiguousarray(a)
        return self.__getattr__("from")(a.ctypes.data_as(C.c_void_p), shape, {"dtype": dtype})

    def dtype(self, dtype):
        name = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
                "uint8": "U8", "bool": "BOOL"}.get(str(dtype))
        if name is None:
            raise KeyError(str(dtype))
        return self.enums["tern_dtype"]["TERN_" + name]

    def dtype_name(self, t):
        return {v: k for k, v in self.enums["tern_dtype"].items()}[self.dtype_of(t)][5:].lower()

    def shape(self, t):
        s = self.shape_get(t)
        return tuple(s.dim[:s.ndim])

    def numpy(self, t):
        import numpy as np
        name = self.dtype_name(t)
        if name == "bf16":
            import ml_dtypes
            np_type = np.dtype(ml_dtypes.bfloat16)
        else:
            np_type = np.dtype({"f32": "float32", "f64": "float64", "f16": "float16", "i64": "int64", "i32": "int32",
                                "u8": "uint8", "bool": "bool"}[name])
        a = np.empty(self.shape(t), np_type)
        self.to_host(t, a.ctypes.data_as(C.c_void_p), a.nbytes)
        return a


def load(build):
    for path in (os.path.join(build, "libtern.so"), os.path.join(build, "lib", "libtern.so"), build):
        if os.path.isfile(path):
            return Library(path)
    raise FileNotFoundError(f"no libtern.so in {build}")
