#!/bin/bash
# Makes a tarball that runs on an x86-64 Linux without development packages: called by the build's target `package`.
#     .package.sh BUILD VERSION        writes BUILD/package/tern-VERSION-linux-x86_64.tar.gz
# It carries the installation, the programs, and every shared library that these need, except glibc and the GPU's driver.
# All of them look for each other beside where they lie ($ORIGIN), so the folder may stand anywhere.
set -euo pipefail
source=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$1" && pwd)
version=$2
limit=$((64 << 20)) # bytes of the tarball
export LC_ALL=C.UTF-8

. "$source/.setup.sh"
# shellcheck disable=SC2086
setup_packages $setup_package
for tool in patchelf readelf ldd gzip; do
    command -v $tool >/dev/null || { echo "package: there is no program $tool" >&2; exit 1; }
done

name=tern-$version-linux-$(uname -m)
out=$build/package
stage=$out/$name
rm -rf "$stage" "$out/$name.tar.gz"
mkdir -p "$stage"

# What comes with the system and belongs to it: glibc's parts, the dynamic linker, the kernel's page.
is_system() {
    case ${1##*/} in
    linux-vdso.so.* | ld-linux*.so.* | libc.so.6 | libm.so.6 | libmvec.so.1 | libpthread.so.0 | libdl.so.2 | librt.so.1 | \
        libresolv.so.2 | libutil.so.1 | libanl.so.1) return 0 ;;
    *) return 1 ;;
    esac
}

is_elf() { [ "$(head -c 4 "$1" | tr -d '\0')" = $'\177ELF' ]; }

# ---- what the build made ---------------------------------------------------------------------------------------------

cmake --install "$build" --prefix "$stage" >"$out/install.log" || { cat "$out/install.log" >&2; exit 1; }
lib=$(dirname "$(find "$stage" -name 'libtern.so' | head -n 1)")
libs=$(basename "$lib")
[ "$lib" = "$stage/$libs" ] || { echo "package: CMAKE_INSTALL_LIBDIR must be one folder, such as lib" >&2; exit 1; }

# programs FOLDER FILE...: those that were built
programs() {
    local folder=$1 f
    shift
    mkdir -p "$stage/$folder"
    for f in "$@"; do
        [ ! -f "$f" ] || [ ! -x "$f" ] || cp -p "$f" "$stage/$folder/"
    done
}
programs examples "$build"/examples/*
programs tests "$build"/tests/test-* "$build"/tests/tsan_* "$build"/tests/lib*.so
programs benchmarks "$build"/benchmarks/bench-* "$build"/benchmarks/peer-*
for f in $(cd "$source" && ls tests/examples*.sh) tests/tern_bench.sh tests/cpu tests/gpu benchmarks/run benchmarks/goals.tsv benchmarks/gpu \
    benchmarks/peers/pytorch.py; do
    mkdir -p "$stage/${f%/*}"
    [ ! -e "$source/$f" ] || cp -p "$source/$f" "$stage/$f"
done
[ ! -d "$stage/tests" ] || cp "$source/core/ops/COVERAGE.md" "$stage/tests/" # the ops that tests/gpu looks for
rmdir "$stage"/examples "$stage"/tests "$stage"/benchmarks 2>/dev/null || true

# ---- the libraries that they need ------------------------------------------------------------------------------------

# The CPU module opens OpenBLAS by name.
openblas=$(PATH=$PATH:/sbin ldconfig -p | awk '$1 == "libopenblas.so.0" && /x86-64/ {print $NF; exit}')
[ -n "$openblas" ] || { echo "package: there is no libopenblas.so.0 here" >&2; exit 1; }

declare -A carried # name -> the file here
need() {
    local path soname
    while read -r soname path; do
        [ -n "$path" ] || { echo "package: $1 needs $soname, which is not here" >&2; exit 1; }
        is_system "$soname" || case $soname in libtern*) ;; *) carried[$soname]=$path ;; esac
    done < <(ldd "$1" | awk '/=> not found/ {print $1, ""; next} $2 == "=>" {print $1, $3}')
}
carried[libopenblas.so.0]=$openblas
need "$openblas"
while read -r f; do
    ! is_elf "$f" || need "$f"
done < <(find "$build/examples" "$build/tests" "$build/benchmarks" -maxdepth 1 -type f -perm -u+x 2>/dev/null
    find "$stage" -type f -name '*.so*')

licences=$stage/share/doc/tern/licences
mkdir -p "$licences"
for soname in "${!carried[@]}"; do
    file=$(readlink -f "${carried[$soname]}")
    install -m 644 "$file" "$lib/$soname"
    # dpkg may know the file by the name that it had before /lib became a link.
    owner=$( (dpkg-query -S "$file" || dpkg-query -S "${file#/usr}") 2>/dev/null | head -n 1 | cut -d: -f1)
    [ -n "$owner" ] && [ -e "/usr/share/doc/$owner/copyright" ] ||
        { echo "package: no licence is known for $file; this needs a system of dpkg's" >&2; exit 1; }
    cp -L "/usr/share/doc/$owner/copyright" "$licences/$owner"
    echo "$soname  $owner $(dpkg-query -W -f '${Version}' "$owner")"
done | sort >"$licences/LIBRARIES"
# The texts that those files name by their place on Debian.
mkdir -p "$licences/common"
grep -rhoE '/usr/share/common-licenses/[A-Za-z0-9.+-]*[A-Za-z0-9]' "$licences" | sort -u | while read -r f; do
    [ ! -f "$f" ] || cp -L "$f" "$licences/common/"
done

# ---- every one finds the others from where it lies -------------------------------------------------------------------

find "$stage" -type f | while read -r f; do
    is_elf "$f" || continue
    folder=$(dirname "${f#"$stage"/}")
    case $folder in
    "$libs") rpath="\$ORIGIN" ;;
    "$libs"/*) rpath="\$ORIGIN/.." ;;
    *) rpath="\$ORIGIN/../$libs" ;;
    esac
    [ "$folder" != tests ] || rpath="$rpath:\$ORIGIN" # libraries made for tests
    patchelf --set-rpath "$rpath" "$f"
done

# ---- how to use it, and the tarball ----------------------------------------------------------------------------------

cuda='It has no CUDA backend: it was built without nvcc.'
[ ! -e "$lib/tern/libtern-cuda.so" ] ||
    cuda='It has the CUDA backend, which needs an NVIDIA driver; cuBLASLt and cuDNN where they are found.'
cat >"$stage/README" <<END
Tern $version for Linux on x86-64 with glibc 2.36 or newer. Nothing has to be installed; the folder may stand anywhere.
$cuda

    examples/digits                  trains on the digits that are bundled; --device cuda or cpu, --help; so do
                                     cifar, gpt2, charlm, gan, dqn and the others beside it, each on data of its own
    tests/cpu                        all tests on the CPU (bash; in a chroot with /proc mounted); --out FOLDER
    tests/gpu --out FOLDER           all checks on an NVIDIA GPU (bash); --budget SECONDS, --list, --help
    benchmarks/gpu --out FOLDER      timings on a GPU, beside PyTorch where python3 has it (python3 3.11 or newer)
    bin/tern-bench --help            times ops and training steps on the CPU or a GPU
    benchmarks/run                   the same beside PyTorch, where python3 has it

To build programs with it: PKG_CONFIG_PATH=FOLDER/$libs/pkgconfig, or CMake's -DCMAKE_PREFIX_PATH=FOLDER.
Tern's licence is share/doc/tern/LICENSE, those of the libraries in $libs are share/doc/tern/licences.
END

tar -C "$out" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9 -n >"$out/$name.tar.gz"
size=$(stat -c %s "$out/$name.tar.gz")
echo "$out/$name.tar.gz: $((size / 1000000)).$((size / 100000 % 10)) MB, ${#carried[@]} libraries carried"
[ "$size" -lt $limit ] || { echo "package: that is more than 64 MiB" >&2; exit 1; }
