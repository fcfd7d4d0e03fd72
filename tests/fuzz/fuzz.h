/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of the wire format share. Each is a file with LLVMFuzzerTestOneInput; linked
 * with libFuzzer it searches (option `fuzz`), linked with replay.c it repeats what is known. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "protocol/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Decodes a record by its number, whatever it is; aborts where a string lies outside of it. */
void tt_fuzz_decode(const TtRawRecord *raw);
