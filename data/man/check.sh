#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check.sh GROFF PAGE: a manual page is set without a word of complaint, and is not empty.
set -eu
said=$("$1" -mandoc -Tutf8 -ww "$2" 2>&1 >/dev/null)
lines=$("$1" -mandoc -Tutf8 "$2" | wc -l)
if [ -n "$said" ] || [ "$lines" -lt 30 ]; then
    printf '%s\n' "$said"
    exit 1
fi
