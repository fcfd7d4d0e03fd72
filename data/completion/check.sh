#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# check.sh COMPLETION PAGE: each command completes the options that the page's synopsis gives it.
set -eu
source "$1"
status=0

# A line each: the command, an option.
given() {
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' "$1" |
        awk '$1 == ".Cm" { command = $2 } /^\.Op Fl Fl/ { print command, "--" $4 }' | sort
}

completed() {
    local command word
    for command in run list export record mark diff who leaks start stop; do
        COMP_WORDS=(tt-ctl "$command" --) COMP_CWORD=2
        _tt_ctl
        for word in "${COMPREPLY[@]}"; do
            [[ $word == -- || $word == --help ]] || printf '%s %s\n' "$command" "${word%=}"
        done
    done | sort -u
}

diff <(given "$2") <(completed) || status=1
exit $status
