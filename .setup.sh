# What Tern needs from the system, and how the README's two commands get it: sourced by examples/quickstart, tests/run and
# .ci/run.
# POSIX sh. Debian 12 and Ubuntu 24.04 install what is missing; elsewhere the list is printed. TERN_SETUP=no skips it all.

setup_build='gcc libc6-dev cmake ninja-build pkg-config libopenblas0-pthread libhdf5-dev zlib1g-dev libjansson-dev libminizip-dev libpng-dev libturbojpeg0-dev libpcre2-dev'
setup_tests='libcriterion-dev python3'
setup_package='patchelf binutils'
setup_ci='git g++ ccache clang libclang-rt-14-dev clang-format-14 valgrind libc6-dbg binutils debootstrap doxygen python3-numpy python3-onnx python3-pil'

# setup_packages PACKAGE...: returns when all of them are installed, else ends the script with code 1.
setup_packages() {
    [ "${TERN_SETUP:-yes}" != no ] || return 0
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        setup_elsewhere
        return 0
    fi
    setup_missing=''
    for setup_p in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$setup_p" 2>/dev/null) in
            *' ok installed') ;;
            *) setup_missing="$setup_missing $setup_p" ;;
        esac
    done
    [ -n "$setup_missing" ] || return 0
    setup_install="apt-get install -y --no-install-recommends$setup_missing"
    if [ "$(id -u)" = 0 ]; then
        setup_do='env DEBIAN_FRONTEND=noninteractive'
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        setup_do='sudo env DEBIAN_FRONTEND=noninteractive'
    else
        setup_stop "Neither root nor sudo here. Have somebody run this as root, then start again:"
    fi
    echo "Installing:$setup_missing"
    # The lists are brought up to date only where they do not do: a fresh system has none.
    # shellcheck disable=SC2086
    $setup_do $setup_install -qq >/dev/null 2>&1 || { $setup_do apt-get update -qq && $setup_do $setup_install -qq; } ||
        setup_stop "The installation failed (see above). The command was:"
}

setup_stop() {
    printf '%s\n\n    apt-get update && %s\n\n' "$1" "$setup_install" >&2
    exit 1
}

# No apt here: says what is needed, and stops if a tool is not there.
setup_elsewhere() {
    setup_absent=''
    for setup_p in cc cmake ninja pkg-config; do
        command -v "$setup_p" >/dev/null || setup_absent="$setup_absent $setup_p"
    done
    [ -n "$setup_absent" ] || return 0
    cat >&2 <<END
Not found:$setup_absent
Tern needs a C11 compiler (gcc 12 or clang 14, or newer), CMake 3.25 or newer, Ninja, pkg-config, the development files
of HDF5 (serial), zlib, minizip, Jansson, libpng, libjpeg-turbo and PCRE2, and OpenBLAS at run time; the tests need Criterion as well. For example:
    Fedora:  dnf install gcc cmake ninja-build pkgconf-pkg-config hdf5-devel zlib-devel minizip-ng-compat-devel jansson-devel libpng-devel turbojpeg-devel pcre2-devel openblas-threads
    Arch:    pacman -S --needed gcc cmake ninja pkgconf hdf5 zlib minizip jansson libpng libjpeg-turbo pcre2 openblas
    Alpine:  apk add gcc musl-dev cmake samurai pkgconf hdf5-dev zlib-dev minizip-dev jansson-dev libpng-dev libjpeg-turbo-dev pcre2-dev openblas
Then start again.
END
    exit 1
}
