#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# verify.sh SOURCE-DIR BUILD-DIR: systemd itself reads the units, and has nothing to say.
# Exit 77, a skip, where that cannot be.
set -eu

if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: no systemd-analyze here"
    exit 77
fi
units=$(mktemp -d)
trap 'rm -rf "$units"' EXIT
cp "$1"/*.socket "$2"/tt-daemon.service "$units"
# The program need not be installed yet for its unit to be right; the manual pages neither.
sed -i -e 's|^ExecStart=.*|ExecStart=/bin/true|' -e '/^Documentation=/d' "$units"/*

export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$units}"
said=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze --user verify "$units"/* 2>&1) && status=0 || status=$?
case $said in
*"Failed to initialize manager"* | *"Failed to connect"* | *"No such file or directory: cgroup"*)
    echo "skipped: $said"
    exit 77
    ;;
esac
# Units of others are theirs.
said=$(printf '%s\n' "$said" | grep tt-daemon || true)
if [ "$status" -ne 0 ] || [ -n "$said" ]; then
    printf '%s\n' "$said"
    exit 1
fi
