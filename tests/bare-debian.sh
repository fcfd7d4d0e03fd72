#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bare-debian.sh [SOURCE [COMMAND…]]: Debian 12 with nothing but what debootstrap leaves, the checkout,
# and apt with this machine's mirror; in it ./demo.sh and ./test.sh, or COMMANDs. Takes root, network,
# 4 GB of disk and many minutes. Leaves nothing behind. Exit 77, a skip, where it cannot be.
set -eu

suite=bookworm
self=$(realpath "$0")

skip() {
    echo "skipped: $*"
    exit 77
}

# Where this machine's apt gets Debian from: "deb URI …" lines and "URIs: …" fields.
find_mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
        2>/dev/null | sed -n \
        -e 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ]*\) .*/\2/p' \
        -e 's/^URIs:[[:space:]]*\([^ ]*\).*/\1/p' | grep '/debian/*$' | head -n 1
}

# As apt is told on this machine: sources that are Debian's, proxies, credentials, trust.
copy_apt() {
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        if [ -f "$file" ] && grep -q '/debian' "$file"; then
            cp "$file" "$root/etc/apt/${file#/etc/apt/}"
        fi
    done
    if [ -e "$root/etc/apt/sources.list.d/debian.sources" ]; then
        rm -f "$root/etc/apt/sources.list" # else all is there twice
    fi
    for entry in apt.conf apt.conf.d auth.conf auth.conf.d trusted.gpg.d; do
        if [ -e "/etc/apt/$entry" ]; then
            cp -rL "/etc/apt/$entry" "$root/etc/apt/"
        fi
    done
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    if [ -d /etc/ssl/certs ]; then
        mkdir -p "$root/etc/ssl"
        cp -rL /etc/ssl/certs "$root/etc/ssl/" 2>/dev/null || true
    fi
}

# What belongs to the project, committed or not yet.
copy_checkout() {
    mkdir -p "$root/src"
    if git -C "$source" rev-parse --git-dir >/dev/null 2>&1; then
        git -C "$source" ls-files -z --cached --others --exclude-standard
    else
        cd "$source" && find . -path './build*' -prune -o -type f -print0
    fi | tar -C "$source" --null --files-from=- --ignore-failed-read -c 2>/dev/null |
        tar -C "$root/src" -x
}

# In a mount namespace of our own: what is mounted goes with it, however we end.
if [ "${1-}" = --inside ]; then
    root=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    status=0
    for command; do
        echo "bare-debian.sh: $command"
        start=$(date +%s)
        # shellcheck disable=SC2016 # the words are the inner shell's
        chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            /bin/sh -c 'cd /src && eval "$1"' sh "$command" </dev/null || status=1
        echo "bare-debian.sh: $command took $(($(date +%s) - start)) s, status $status"
    done
    exit "$status"
fi

source=$(realpath "${1:-$(dirname "$self")/..}")
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- ./demo.sh ./test.sh
[ "$(id -u)" -eq 0 ] || skip "only root may debootstrap and chroot"
command -v debootstrap >/dev/null || skip "debootstrap is not installed"
mirror=$(find_mirror)
[ -n "$mirror" ] || skip "no Debian mirror is named in /etc/apt"
unshare --mount true 2>/dev/null || skip "no mount namespace can be made"
proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
[ -z "$proxy" ] || export http_proxy="$proxy"

top=$(mktemp -d /var/tmp/tt-bare.XXXXXX)
trap 'rm -rf --one-file-system "$top"' EXIT
trap 'exit 1' INT TERM HUP

root=$top/root # its mode is that of /: others than root must get in
mkdir -m 755 "$root"
start=$(date +%s)
if ! debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$top/log" 2>&1; then
    tail -n 20 "$top/log"
    skip "debootstrap failed: is $mirror to be had?"
fi
echo "bare-debian.sh: debootstrap took $(($(date +%s) - start)) s"
copy_apt
copy_checkout
unshare --mount --propagation private "$self" --inside "$root" "$@"
