#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs every Debian package that building, testing and the demo need. Does nothing, quickly,
# where all of them are there. Runs as root, or through sudo.
#
#   ./install-deps.sh            what is needed
#   ./install-deps.sh bench      and what tests/bench compares with
#   ./install-deps.sh nightly    and what the suite nightly traces
set -eu

# One package a line, and what it is for.
packages=$(sed 's/#.*//' <<'END'
gcc                 # the compiler
clang               # the second compiler; fuzzers; symbols as it writes them
g++                 # C++ programs that the tests trace; ttclient.h from C++
libc6-dev
meson               # the build
ninja-build
pkg-config
binutils            # readelf, nm: what libttclient exports and needs
libglib2.0-dev      # daemon, tools, unit tests: GLib, GIO, GDBus
libglib2.0-bin      # gdbus: the tests ask the daemon as any D-Bus client would
libjson-glib-dev    # JSON documents
libcairo2-dev       # pictures to PNG and PDF
librsvg2-dev        # each SVG is checked before it is handed out
librsvg2-bin        # rsvg-convert: the tests render each picture
fonts-dejavu-core   # a font to measure and render text with
libunwind-dev       # the engine for unwind rules
libdw-dev           # the symbolizer: ELF and DWARF
libelf-dev
libiberty-dev       # C++ and Rust names
libzstd-dev         # compression of recordings and ELF sections
zlib1g-dev
python3             # tests and the rules that they check
python3-jsonschema  # exports against their schema
jq                  # a second parser for exports
libxml2-utils       # xmllint: a second parser for pictures and the D-Bus interface
procps              # ps, kill
util-linux          # unshare, setsid, prlimit
git                 # the files that belong to the project
perl                # programs not written here that the tests trace
sqlite3
rustc               # Rust names
strace              # tracing a traced program; counting its system calls
gdb                 # the same under a debugger
libjemalloc2        # another allocator than glibc's, preloaded and linked
musl-tools          # a program of another C library below a traced one
valgrind            # instruction counts; another allocator in place
zstd                # reads heaptrack's recordings
heaptrack           # the peer whose figures are compared with ours
systemd             # systemd-analyze: our units
debootstrap         # a bare Debian to install and run in
clang-format        # the form of the sources
END
)

# Only for tests/bench, which leaves out what is not there. redis-server may start its service.
bench_packages=$(sed 's/#.*//' <<'END'
libgoogle-perftools4 # a peer: the allocator with the heap profiler; libjemalloc2 has one too
redis-server         # a server to trace
redis-tools          # redis-benchmark
END
)
[ "${1-}" != bench ] || packages="$packages $bench_packages"

# Only for tests/real/everyday.py, which leaves out what is not there. Servers may start their services.
nightly_packages=$(sed 's/#.*//' <<'END'
redis-server            # servers to trace, and their clients
redis-tools
postgresql
nginx-light
curl
nodejs                  # virtual machines
openjdk-17-jdk-headless
END
)
[ "${1-}" != nightly ] || packages="$packages $nightly_packages"

missing=
for package in $packages; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
    installed) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "install-deps.sh: run it as root, or install sudo. Missing:$missing" >&2
        exit 1
    fi
    as_root=sudo
fi

echo "install-deps.sh: installing$missing" >&2
# -qq and Use-Pty: a log, not a progress bar. Recommended packages are not needed.
# shellcheck disable=SC2086 # the list is words
$as_root env DEBIAN_FRONTEND=noninteractive sh -ec '
    apt-get -qq update </dev/null
    apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "$@" </dev/null >&2
' sh $missing
