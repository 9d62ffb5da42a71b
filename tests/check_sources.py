#!/usr/bin/env python3
"""Checks of the sources and of what was built from them, apart from the tests.

    tests/check_sources.py CHECK... [--build DIR]

    format     clang-format 14 leaves every C file as it is (tables, .def, are exempt)
    headers    each public header compiles alone, as C11 and as C++17, with the strict warnings (gcc and clang)
    includes   no include goes up; a backend sees no tensor
    comments   every public function has a comment
    traps      no test is written so that Criterion would let a failure pass
    symbols    libtern exports what the headers declare, a module its entry alone        (needs a build)
    forbidden  no abort, exit, printf or malloc in the library outside their place       (needs a Release build)

Prints what is wrong, one line each; the exit code is 1 if anything is."""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = ["core", "cpu", "cuda", "nn", "optim", "io"]
FOLDERS = LIBRARY + ["examples", "tests", "benchmarks"]
C_WARNINGS = ("-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes "
              "-Wdouble-promotion -Wvla -Werror").split()
CXX_WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wdouble-promotion -Wvla -Werror".split()


def files(folders, *ends):
    found = []
    for folder in folders:
        for where, _, names in os.walk(os.path.join(ROOT, folder)):
            found += [os.path.relpath(os.path.join(where, n), ROOT) for n in names if n.endswith(ends)]
    return sorted(found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def public_headers():
    return [h for h in files(["core", "nn", "optim", "io"], ".h")
            if "tern umbrella" in read(h) or "TERN_API" in read(h)]


def call(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, **options)


def check_format(args):
    tool = next((t for t in ("clang-format-14", "clang-format") if call(["which", t]).returncode == 0), None)
    if not tool or " 14." not in call([tool, "--version"]).stdout:
        return ["clang-format 14 is not installed"]
    wrong = []
    for f in files(FOLDERS, ".c", ".h", ".cpp", ".cu", ".cuh"):
        r = call([tool, "--dry-run", "-Werror", f])
        if r.returncode:
            wrong.append(f"{f}: clang-format would change it: {r.stdout.splitlines()[0]}")
    return wrong


def check_headers(args):
    wrong = []
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(os.path.join(tmp, "tern"))
        for h in public_headers():
            os.symlink(os.path.join(ROOT, h), os.path.join(tmp, "tern", os.path.basename(h)))
        for compiler, std, end, warnings in (("gcc", "c11", "c", C_WARNINGS), ("clang", "c11", "c", C_WARNINGS),
                                             ("g++", "c++17", "cpp", CXX_WARNINGS),
                                             ("clang++", "c++17", "cpp", CXX_WARNINGS)):
            for h in public_headers():
                # Twice: the guard holds.
                name = os.path.basename(h)
                source = os.path.join(tmp, f"{name}.{end}")
                with open(source, "w") as f:
                    f.write(f'#include "tern/{name}"\n#include "tern/{name}"\nint only_{std[:1]};\n')
                r = call([compiler, f"-std={std}", *warnings, "-I", tmp, "-fsyntax-only", source])
                if r.returncode:
                    wrong.append(f"{h}: does not compile alone with {compiler} -std={std}:\n{r.stdout}")
    return wrong


# Who may include whose headers. core/tern.h, the umbrella, is for programs and looks up by design.
SEES = {
    "core": {"core"}, "nn": {"core", "nn"}, "optim": {"core", "nn", "optim"}, "io": {"core", "nn", "optim", "io"},
    "cpu": {"cpu"}, "cuda": {"cuda"},
    "examples": {"core", "nn", "optim", "io", "examples"}, "benchmarks": {"core", "nn", "optim", "io", "benchmarks"},
    "tests": set(FOLDERS),
}
# What of core's own is seen from outside of it: the memory door and the errors by nn, optim and io; views by backends.
INTERNAL = {"nn": {"core/door.h"}, "optim": {"core/door.h"}, "io": {"core/door.h", "core/plain_locale.h"},
            "cpu": {"core/backend.h", "core/base.h", "core/ops.h", "core/half.h", "core/philox.h",
                    "core/special.h", "core/order.h", "core/formulas.h", "core/elementwise_math.inc", "core/elementwise_integer.inc",
                    "core/elementwise.def", "core/update.def", "core/ops.def"},
            "benchmarks": {"tests/sweep.h"}}
INTERNAL["cuda"] = INTERNAL["cpu"]


def resolve(f, name):
    """The file in the repository that an include means; None for the system's."""
    if name.startswith("tern/"):
        base = name[len("tern/"):]
        return next((h for h in public_headers() if os.path.basename(h) == base), "MISSING " + name)
    for folder in (os.path.dirname(f), "core", "."):
        path = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(os.path.join(ROOT, path)):
            return path
    return None


def check_includes(args):
    wrong, public = [], set(public_headers())
    for f in files(FOLDERS, ".c", ".h", ".inc", ".def", ".cu", ".cuh"):
        folder = f.split("/")[0]
        if f == "core/tern.h":
            continue
        for number, line in enumerate(read(f).splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
            if not m:
                continue
            target = resolve(f, m.group(1))
            if target is None:
                continue
            if target.startswith("MISSING"):
                wrong.append(f"{f}:{number}: {m.group(1)} is no public header")
                continue
            if target == "core/tern.h" and folder in LIBRARY:
                wrong.append(f"{f}:{number}: the umbrella is for programs")
                continue
            to = target.split("/")[0]
            if folder == to or folder == "tests" or target in INTERNAL.get(folder, ()):
                continue
            if to not in SEES[folder] or target not in public:
                wrong.append(f"{f}:{number}: {folder} must not include {target}")
    return wrong


def check_comments(args):
    """A declaration needs a comment above it or behind it; declarations that stand together may share one, and the
    heading of a section ("/* ---- ...") that says more than a title covers all of it."""
    wrong = []
    for h in public_headers():
        covered, section, comment = False, False, None
        for number, line in enumerate(read(h).splitlines(), 1):
            text = line.strip()
            if comment is None and text.startswith("/*"):
                comment = ""
            if comment is not None:
                comment += text + "\n"
                if "*/" in text:
                    covered = True
                    if comment.startswith("/* ----"):
                        words = re.sub(r"[-/*]{2,}|\*", "", comment)
                        section = covered = bool(re.search(r"[(:]", words)) or len(words.split()) > 12
                    comment = None
            elif not text:
                covered = section
            elif text.startswith("TERN_API") and not covered and "/*" not in text:
                wrong.append(f"{h}:{number}: no comment: {text}")
    return wrong


def check_traps(args):
    """Criterion passes a test whose .fini fails or which calls exit(0); and a bare Test() misses our own checks."""
    wrong = []
    for f in files(["tests"], ".c", ".h"):
        for number, line in enumerate(read(f).splitlines(), 1):
            if re.search(r"\.(fini|init)\s*=", line):
                wrong.append(f"{f}:{number}: .init and .fini may fail without anybody seeing it; do it in the test")
            if re.match(r"\s*(Test|ParameterizedTest|Theory)\s*\(", line) and f != "tests/common.h":
                wrong.append(f"{f}:{number}: tests are written with TERN_TEST, which looks for leaks and pending errors")
            if re.search(r"\b_?exit\s*\(\s*(0|EXIT_SUCCESS)\s*\)", line):
                wrong.append(f"{f}:{number}: a test that exits with 0 passes")
    return wrong


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in out.splitlines() if line.strip()}


def check_symbols(args):
    wrong = []
    libraries = sorted(glob.glob(os.path.join(args.build, "libtern.so.*.*.*")))
    modules = sorted(glob.glob(os.path.join(args.build, "libtern-*.so")))
    if len(libraries) != 1 or not modules:
        return [f"{args.build}: no build of Tern is there"]
    names = exported(libraries[0])
    declared = set()
    for h in public_headers():
        text = re.sub(r"/\*.*?\*/", "", read(h), flags=re.S)
        declared |= set(re.findall(r"TERN_API[^;{]*?\b(tern_\w+)\s*\(", text))
    wrong += [f"libtern exports {n}, which no public header declares" for n in sorted(names - declared)]
    wrong += [f"{n} is declared, but libtern has it not" for n in sorted(declared - names)]
    for m in modules:
        extra = exported(m) ^ {"terni_backend_entry"}
        wrong += [f"{os.path.basename(m)}: {n} should {'not ' if n != 'terni_backend_entry' else ''}be exported"
                  for n in sorted(extra)]
    dynamic = call(["readelf", "-d", libraries[0]]).stdout
    if not re.search(r"SONAME.*\[libtern\.so\.0\]", dynamic):
        wrong.append("libtern has the wrong soname")
    # What opens the library at run time finds room for its initial-exec TLS only in a reserve of 512 bytes.
    tls = re.search(r"^\s*TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(0x\w+)", call(["readelf", "-lW", libraries[0]]).stdout, re.M)
    if tls and int(tls.group(1), 16) > 384:
        wrong.append(f"libtern has {int(tls.group(1), 16)} bytes of thread-local storage: dlopen would fail")
    for bad in re.findall(r"R(?:UN)?PATH.*\[(.*)\]", call(["readelf", "-d", *modules]).stdout):
        wrong.append(f"a module has a run path: {bad}")
    return wrong


ENDS = r"abort|exit|_exit|_Exit|quick_exit|__assert_fail"
PRINTS = r"(?:__)?(?:printf|puts|putchar|putc|fputc|fputs|fprintf|vprintf|vfprintf|dprintf|perror|psignal)(?:_chk)?"
HEAP = r"malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|memalign|valloc|strdup|__strdup|strndup|asprintf|free"
# Where the library may do what it otherwise must not: its one door to memory, and the default error handler.
ALLOWED = {"core/memory.c": re.compile(rf"^(?:{HEAP})$"), "core/error.c": re.compile(rf"^(?:{PRINTS})$")}


def check_forbidden(args):
    forbidden, wrong = re.compile(rf"^(?:{ENDS}|{PRINTS}|{HEAP})$"), []
    objects = []
    for target in ["tern"] + [os.path.basename(m)[3:-3] for m in glob.glob(os.path.join(args.build, "libtern-*.so"))]:
        base = os.path.join(args.build, "CMakeFiles", f"{target}.dir")
        for where, _, names in os.walk(base):
            objects += [(os.path.relpath(os.path.join(where, n), base)[:-2], os.path.join(where, n))
                        for n in names if n.endswith(".o")]
    sources = {s for s in files(LIBRARY, ".c")}
    if not objects:
        return [f"{args.build}: no objects are there"]
    if not os.path.exists(os.path.join(args.build, "libtern-cuda.so")):  # left out of builds unless asked for
        sources = {s for s in sources if not s.startswith("cuda/")}
    missing = sources - {s for s, _ in objects}
    wrong += [f"{s}: was not built" for s in sorted(missing)]
    for source, path in objects:
        if source not in sources:
            continue  # left over from a file that is gone
        out = subprocess.run(["nm", "-u", path], capture_output=True, text=True, check=True).stdout
        for name in {line.split()[-1].split("@")[0] for line in out.splitlines() if line.strip()}:
            allowed = ALLOWED.get(source)
            if forbidden.match(name) and not (allowed and allowed.match(name)):
                wrong.append(f"{source}: calls {name}")
    return sorted(set(wrong))


CHECKS = {n[len("check_"):]: f for n, f in list(globals().items()) if n.startswith("check_")}


def main():
    parser = argparse.ArgumentParser(usage="tests/check_sources.py CHECK... [--build DIR]")
    parser.add_argument("checks", nargs="+", choices=sorted(CHECKS))
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    count = 0
    for name in args.checks:
        wrong = CHECKS[name](args)
        for w in wrong:
            print(f"{name}: {w}")
        count += len(wrong)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
