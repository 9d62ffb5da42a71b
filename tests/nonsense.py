#!/usr/bin/env python3
"""Writes the table of the nonsense sweep: for every function of the public headers of core a piece of C that calls it
with random arguments, by the types that its prototype gives. Run by the build:

    tests/nonsense.py OUT.inc

A function is left out only for a reason given below; the sweep prints how many there are."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import api  # noqa: E402

# Not called, and why.
LEFT_OUT = {
    "takes the caller's own memory or functions": {
        "tern_from", "tern_wrap", "tern_to_host", "tern_to_doubles", "tern_apply", "tern_on_error", "tern_error_set", "tern_info", "tern_shape_text", "tern_device_name", "tern_text"},
    "changes what the sweep stands on": {
        "tern_scope_push", "tern_scope_pop", "tern_scope_return", "tern_keep", "tern_release", "tern_give", "tern_assign",
        "tern_error_clear", "tern_memory_fail_at", "tern_memory_guard", "tern_set_threads", "tern_grad_mode", "tern_seed",
        "tern_random_set", "tern_require_grad", "tern_inference_mode", "tern_anomaly_mode", "tern_nan_watch", "tern_deterministic", "tern_hook_add",
        "tern_hook_remove", "tern_memory_reset_peak", "tern_data"},
}
HEADERS = {"base.h", "tensor.h", "random.h", "autograd.h", "conv.h", "index.h", "linalg.h", "loss.h", "norm.h", "pointwise.h",
           "reduce.h", "shape.h", "sequence.h", "image.h", "update.h", "functional.h", "gradcheck.h"}


class Unfit(Exception):
    pass


def argument(p, after, i, structs, enums, more, lines):
    """C that makes argument i; p its Param, after the next one."""
    v = f"a{i}"
    if p.base in more["callbacks"] or "(*" in p.type:
        raise Unfit("takes the caller's own memory or functions")
    if p.base == "tern_tensor":
        if p.pointers == 1:
            lines.append(f"tern_tensor *{v} = any_tensor(s);")
        elif p.const or "const *" in p.type or p.type.replace(" ", "").startswith("tern_tensor*const*"):
            # an array of exactly as many tensors as the number after it says
            lines.append(f"const int n{i} = any_count(s); tern_tensor **{v} = any_tensors(s, n{i});")
            return v, f"n{i}"
        elif after and after.base == "int" and after.name == "n":  # room for n results
            lines.append(f"const int n{i} = any_count(s); tern_tensor **{v} = any_outs(s, n{i});")
            return v, f"n{i}"
        else:
            lines.append(f"tern_tensor **{v} = any_out(s);")
        return v, None
    if p.pointers == 0:
        if p.base in ("int", "int64_t", "int32_t"):
            lines.append(f"const {p.base} {v} = ({p.base})any_{'i64' if p.base == 'int64_t' else 'int'}(s);")
        elif p.base in enums:
            count = len(enums[p.base])
            lines.append(f"const {p.base} {v} = ({p.base})any_enum(s, {count});")
        elif p.base in ("uint64_t", "uint32_t", "size_t"):
            lines.append(f"const {p.base} {v} = ({p.base})any_i64(s);")
        elif p.base in ("double", "float"):
            lines.append(f"const {p.base} {v} = ({p.base})any_double(s);")
        elif p.base == "bool":
            lines.append(f"const bool {v} = any_bool(s);")
        elif p.base == "tern_shape":
            lines.append(f"const tern_shape {v} = any_shape(s);")
        elif p.base == "tern_device":
            lines.append(f"const tern_device {v} = any_device(s);")
        elif p.base in structs:
            lines.append(f"{p.base} {v} = {{0}};")
            for f in structs[p.base]:
                option(v, f, structs, enums, more, lines)
        else:
            raise Unfit(f"no value of type {p.type}")
        return v, None
    if p.base in ("int", "int64_t", "double") and p.const:
        kind = {"int": "int", "int64_t": "i64", "double": "double"}[p.base]
        if p.array and p.array[0]:
            lines.append(f"const int n{i} = {p.array[0]};")
            lines.append(f"const {p.base} *{v} = any_{kind}s(s, n{i}, false);")
            return v, None
        lines.append(f"const int n{i} = any_count(s);")
        lines.append(f"const {p.base} *{v} = any_{kind}s(s, n{i}, true);")
        return v, f"n{i}"
    if p.name == "path":
        raise Unfit("writes or reads a file")
    if p.base == "char" and p.const:
        lines.append(f"const char *{v} = any_text(s);")
        return v, None
    if p.base == "tern_random":
        lines.append(f"tern_random {v}_ = {{1, 2}}; tern_random *{v} = &{v}_;")
        return v, None
    raise Unfit("takes the caller's own memory or functions")


def option(of, f, structs, enums, more, lines):
    target = f"{of}.{f.name}"
    pointers = f.type.count("*")
    if pointers:
        if f.base == "tern_tensor" and pointers == 1:
            lines.append(f"if (any_bool(s)) {target} = any_tensor(s);")
        elif f.base == "int64_t" and f.const:
            lines.append(f"if (any_bool(s)) {target} = any_i64s(s, 64, false);")
        return  # else: left NULL
    if f.array:
        n = f.array[0]
        value = {"int64_t": "any_i64(s)", "int": "any_int(s)", "double": "any_double(s)", "bool": "any_bool(s)"}[f.base]
        lines.append(f"for (int k = 0; k < {n}; k++) if (any_bool(s)) {target}[k] = {value};")
        return
    if f.base in enums:
        lines.append(f"if (any_bool(s)) {target} = ({f.base})any_enum(s, {len(enums[f.base])});")
    elif f.base in ("int64_t", "int", "int32_t", "double", "float", "bool", "uint64_t"):
        value = {"int64_t": "any_i64(s)", "int": "any_int(s)", "int32_t": "any_int(s)", "double": "any_double(s)",
                 "float": "(float)any_double(s)", "bool": "any_bool(s)", "uint64_t": "(uint64_t)any_i64(s)"}[f.base]
        lines.append(f"if (any_bool(s)) {target} = {value};")
    elif f.base == "tern_device":
        lines.append(f"if (any_bool(s)) {target} = any_device(s);")
    elif f.base in structs:
        for inner in structs[f.base]:
            option(target, inner, structs, enums, more, lines)


def thunk(f, structs, enums, more):
    lines, names, skip = [], [], False
    room = any(p.type.replace(" ", "") == "tern_tensor**" for p in f.params)
    for i, p in enumerate(f.params):
        if skip:
            skip = False
            continue
        after = f.params[i + 1] if i + 1 < len(f.params) else None
        if room and p.name == "n" and p.base == "int":  # out has room for n
            lines.append(f"const int a{i} = any_count(s);")
            names.append(f"a{i}")
            continue
        v, count = argument(p, after, i, structs, enums, more, lines)
        names.append(v)
        if count:
            # The number that belongs to an array is the next parameter; without one the array has no stated length.
            if after is None or after.base not in ("int", "int64_t") or after.pointers:
                raise Unfit("takes the caller's own memory or functions")
            names.append(count)
            skip = True
    result = f.returns
    body = "\n    ".join(lines)
    call = f"{f.name}({', '.join(names)})"
    if re.search(r"\btern_tensor\b", result):
        end = f"return {call};"
    else:
        end = f"(void){call};\n    return NULL;"
    return f"static tern_tensor *nonsense_{f.name}(source *s) {{\n    (void)s;\n    {body}\n    {end}\n}}\n"


def main():
    functions, structs, enums, more = api.parse()
    out, table, left = [], [], []
    for f in functions:
        if f.header not in HEADERS:
            continue
        reason = next((r for r, names in LEFT_OUT.items() if f.name in names), None)
        try:
            if reason:
                raise Unfit(reason)
            out.append(thunk(f, structs, enums, more))
            table.append(f'    {{"{f.name[5:]}", nonsense_{f.name}, {"true" if f.name.endswith("_") or f.header in ("update.h",) else "false"}}},')
        except Unfit as e:
            left.append(f"{f.name}: {e}")
    text = "/* Written by tests/nonsense.py from the public headers. */\n" + "\n".join(out)
    text += "static const target targets[] = {\n" + "\n".join(table) + "\n};\n"
    text += "/* Left out:\n" + "\n".join(" * " + x for x in left) + " */\n"
    text += f"enum {{ LEFT_OUT = {len(left)} }};\n"
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
