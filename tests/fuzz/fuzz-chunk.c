/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds a chunk of any bytes to the chunk reader, and every record in it to its decoder. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    /* The head's number says which chunk this is, so that the fuzzer need not guess ours. */
    uint64_t number = 0;
    if (len >= TT_CHUNK_HEAD_BYTES)
        memcpy(&number, data + offsetof(TtChunkHead, number), sizeof number);

    uint8_t *bytes = malloc(len + TT_EVENT_MAX);
    TtChunkReader reader;
    TtEvent event;
    TtRawRecord raw;
    int r;

    if (bytes == NULL)
        abort();
    if (len > 0)
        memcpy(bytes, data, len);
    memset(bytes + len, 0xa5, TT_EVENT_MAX);
    if (tt_chunk_reader_init(&reader, bytes, len, number) == 0) {
        while ((r = tt_chunk_reader_next(&reader, &event, &raw)) > 0) {
            if (reader.cursor.at > reader.cursor.end)
                abort();
            if (r == TT_ITEM_EVENT && (event.op < TT_OP_ALLOC || event.op > TT_OP_REALLOC_END))
                abort();
            if (r == TT_ITEM_RECORD)
                tt_fuzz_decode(&raw);
        }
        if (r == TT_ITEM_END && tt_cursor_left(&reader.cursor) > 0)
            abort();
    }
    free(bytes);
    return 0;
}
