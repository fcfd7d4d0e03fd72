#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# verify.sh SOURCE-DIR BUILD-DIR: systemd itself reads the units, and has nothing to say; and would
# start the control socket along with the events socket.
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
*"Failed to initialize manager"* | *"Cannot determine cgroup"* | *"Failed to connect"* | *"No such file or directory: cgroup"*)
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

manager=/lib/systemd/systemd
if [ ! -x "$manager" ] || ! command -v setpriv >/dev/null; then
    echo "what it would start was not asked: no $manager, or no setpriv"
    exit 0
fi
# A manager in a dry run, which root is not allowed.
as_user=
if [ "$(id -u)" -eq 0 ]; then
    chown -R nobody "$units"
    as_user="setpriv --reuid=nobody --regid=nogroup --clear-groups"
fi
jobs=$($as_user env XDG_RUNTIME_DIR="$units" HOME="$units" SYSTEMD_UNIT_PATH="$units" \
    timeout 30 "$manager" --user --test --unit=tt-daemon-events.socket 2>&1) || true
case $jobs in
*"Cannot determine cgroup"*) # a chroot without /sys: no manager can be, nor is one needed
    echo "skipped: the units verify; what they start cannot be asked: $jobs"
    exit 77
    ;;
esac
if ! printf '%s\n' "$jobs" | grep -q 'Action: tt-daemon-control.socket -> start'; then
    printf '%s\n' "$jobs" | grep Action || printf '%s\n' "$jobs"
    exit 1
fi
