#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the golden vectors' bytes as a fuzzer's seeds: make-seeds.sh WIRE-PAGE FOLDER STAMP
set -eu
mkdir -p "$2"
"$1" seeds "$2"
: >"$3"
