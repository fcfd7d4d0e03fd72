/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds any bytes as a message, whose head is passed over, to every decoder of records. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < sizeof(TtMessageHead))
        return 0;
    len -= sizeof(TtMessageHead);

    uint8_t *bytes = malloc(len + (len == 0)); /* of its own, so that an overrun is seen */
    if (bytes == NULL)
        abort();
    memcpy(bytes, data + sizeof(TtMessageHead), len);

    TtCursor cursor = tt_cursor_new(bytes, len);
    TtRawRecord raw;
    int r;
    while ((r = tt_decode_framed(&cursor, &raw)) == TT_ITEM_RECORD)
        tt_fuzz_decode(&raw);
    if (r == TT_ITEM_END && tt_cursor_left(&cursor) != 0)
        abort();
    free(bytes);
    return 0;
}
