/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check_string(const TtRawRecord *raw, TtString string) {
    const uint8_t *start = (const uint8_t *)string.text;

    if (string.len == 0)
        return;
    if (string.len > TT_STRING_MAX || start < raw->fields.at ||
        string.len > (size_t)(raw->fields.end - start))
        abort();
}

void tt_fuzz_decode(const TtRawRecord *raw) {
    switch (raw->number) {
#define TT_RECORD(number, NAME, name, Name, doc)                                                   \
    case number: {                                                                                 \
        TtRecord##Name record;                                                                     \
        if (tt_decode_##name(raw, &record) < 0)                                                    \
            break;
#define TT_U(field, doc)
#define TT_S(field, doc) check_string(raw, record.field);
#define TT_RECORD_END(name, Name)                                                                  \
    (void)record;                                                                                  \
    break;                                                                                         \
    }
#include "protocol/records.def"
#undef TT_RECORD
#undef TT_U
#undef TT_S
#undef TT_RECORD_END
    }
}
