#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Remakes WIRE.md, RECORDING.md and tests/golden/wire: remake-goldens.sh WIRE-PAGE SOURCE-ROOT
# (meson compile -C build remake-goldens). Read the difference before it is committed: each byte in
# it is a byte that an older peer will not understand.
set -eu
wire_page=$1
root=$2

rm -f "$root"/tests/golden/wire/*.hex
"$wire_page" goldens "$root/tests/golden/wire"
"$wire_page" page >"$root/protocol/WIRE.md.new"
mv "$root/protocol/WIRE.md.new" "$root/protocol/WIRE.md"
"$wire_page" recording >"$root/protocol/RECORDING.md.new"
mv "$root/protocol/RECORDING.md.new" "$root/protocol/RECORDING.md"
