#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# user-manager.sh PROGRAM ARGUMENT…: runs it where a user manager of systemd can be started beside the
# machine's own: mounts, processes and a control group of its own, /run empty, and as if the machine had
# been booted by systemd. What it starts ends with it.
# A skip, in TAP, where that cannot be.
set -eu

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

if [ "${INSIDE:-}" ]; then
    mount -t tmpfs tmpfs /run
    mkdir -p /run/systemd/system
    umount -l -R /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
    unset INSIDE
    exec "$@"
fi

[ -x /lib/systemd/systemd ] || skip "no systemd here"
[ "$(id -u)" -eq 0 ] || skip "only root may make its namespaces"
groups=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
[ "$groups" ] || skip "no control groups of version 2"
group=$groups/tt-test.$$
mkdir "$group" 2>/dev/null || skip "no control group can be made"
# Those that the manager made lie in it.
trap 'find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true' EXIT
unshare --mount --cgroup --pid --fork true 2>/dev/null || skip "no namespaces can be made"
status=0
(
    echo 0 >"$group/cgroup.procs"
    INSIDE=1 exec unshare --mount --propagation private --cgroup --pid --fork --kill-child --mount-proc "$0" "$@"
) || status=$?
exit $status
