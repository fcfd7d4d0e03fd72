/* SPDX-License-Identifier: Apache-2.0 */
/* How numbers and strings are spelt, and that nothing is read past the end. */
#include <glib.h>

#include "protocol/checked.h"
#include "protocol/encode.h"

/* The bytes on the heap with nothing behind them, so that a sanitizer sees an overrun. */
static void assert_varint(const char *bytes, size_t len, int result, uint64_t value, size_t used) {
    g_autofree uint8_t *copy = g_memdup2(bytes, len);
    TtCursor cursor = tt_cursor_new(copy, len);
    const uint8_t *start = cursor.at;
    uint64_t got = 0xabcd;

    g_assert_cmpint(tt_cursor_read_varint(&cursor, &got), ==, result);
    g_assert_cmpuint(got, ==, result == 0 ? value : 0xabcd);
    g_assert_cmpuint((size_t)(cursor.at - start), ==, result == 0 ? used : 0);
}

static void varint_has_one_spelling(void) {
    assert_varint("\x00", 1, 0, 0, 1);
    assert_varint("\x7f", 1, 0, 127, 1);
    assert_varint("\x80\x01", 2, 0, 128, 2);
    assert_varint("\x80\x01\xff", 3, 0, 128, 2);
    assert_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, 0, UINT64_MAX, 10);
    /* longer than it need be */
    assert_varint("\x80\x00", 2, -EBADMSG, 0, 0);
    assert_varint("\xff\x80\x00", 3, -EBADMSG, 0, 0);
    assert_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10, -EBADMSG, 0, 0);
    /* past 64 bits */
    assert_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, -EBADMSG, 0, 0);
    assert_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01", 11, -EBADMSG, 0, 0);
    assert_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, -EBADMSG, 0, 0);
    /* ends early */
    assert_varint("\x80", 1, -EBADMSG, 0, 0);
    assert_varint("\xff\xff\xff", 3, -EBADMSG, 0, 0);
    assert_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80", 9, -EBADMSG, 0, 0);
    assert_varint("", 0, -EBADMSG, 0, 0);
}

static void varint_returns_from_every_length(void) {
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int offset = -1; offset <= 1; offset++) {
            uint64_t value = ((uint64_t)1 << bit) + (uint64_t)(int64_t)offset;
            uint8_t bytes[16];
            size_t len = (size_t)(tt_encode_varint(bytes, value) - bytes);

            g_assert_cmpuint(len, ==, tt_varint_len(value));
            assert_varint((const char *)bytes, len, 0, value, len);
            assert_varint((const char *)bytes, len - 1, -EBADMSG, 0, 0);
        }
    }
}

static void string_is_bounded(void) {
    g_autofree uint8_t *bytes = g_malloc(TT_STRING_MAX + 8);
    struct {
        size_t told, there;
        bool holds;
    } cases[] = {
        {0, 0, true},
        {1, 1, true},
        {1, 0, false},
        {TT_STRING_MAX, TT_STRING_MAX, true},
        {TT_STRING_MAX, TT_STRING_MAX - 1, false},
        {TT_STRING_MAX + 1, TT_STRING_MAX + 1, false},
        {SIZE_MAX, 4, false},
        {(size_t)1 << 60, 4, false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        size_t head = (size_t)(tt_encode_varint(bytes, cases[i].told) - bytes);
        TtCursor cursor = tt_cursor_new(bytes, head + cases[i].there), before = cursor;
        TtString string = {.text = "kept", .len = 4};
        int r = tt_cursor_read_string(&cursor, &string);

        g_assert_cmpint(r, ==, cases[i].holds ? 0 : -EBADMSG);
        g_assert_true(cases[i].holds || cursor.at == before.at);
        g_assert_cmpuint(string.len, ==, cases[i].holds ? cases[i].told : 4);
        g_assert_true(!cases[i].holds || string.text == (const char *)before.at + head);
    }
}

static void bytes_are_borrowed_or_refused(void) {
    const uint8_t bytes[4] = {1, 2, 3, 4}, *got = NULL;
    TtCursor cursor = tt_cursor_new(bytes, sizeof bytes);

    g_assert_cmpint(tt_cursor_read_bytes(&cursor, 5, &got), ==, -EBADMSG);
    g_assert_null(got);
    g_assert_cmpint(tt_cursor_read_bytes(&cursor, SIZE_MAX, &got), ==, -EBADMSG);
    g_assert_cmpint(tt_cursor_read_bytes(&cursor, 3, &got), ==, 0);
    g_assert_true(got == bytes);
    g_assert_cmpuint(tt_cursor_left(&cursor), ==, 1);
    g_assert_cmpint(tt_cursor_read_bytes(&cursor, 1, &got), ==, 0);
    g_assert_cmpint(tt_cursor_read_bytes(&cursor, 0, &got), ==, 0);
    g_assert_cmpint(tt_cursor_read_bytes(&cursor, 1, &got), ==, -EBADMSG);
}

static void sums_do_not_wrap(void) {
    uint64_t result = 7;

    g_assert_true(tt_checked_add(UINT64_MAX - 1, 1, &result));
    g_assert_cmpuint(result, ==, UINT64_MAX);
    g_assert_false(tt_checked_add(UINT64_MAX, 1, &result));
    g_assert_true(tt_checked_mul((uint64_t)1 << 32, ((uint64_t)1 << 32) - 1, &result));
    g_assert_false(tt_checked_mul((uint64_t)1 << 32, (uint64_t)1 << 32, &result));
    g_assert_cmpuint(tt_saturating_add(UINT64_MAX - 2, 2), ==, UINT64_MAX);
    g_assert_cmpuint(tt_saturating_add(UINT64_MAX, 2), ==, UINT64_MAX);
    g_assert_cmpuint(tt_saturating_sub(2, 2), ==, 0);
    g_assert_cmpuint(tt_saturating_sub(2, 3), ==, 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/protocol/cursor/varint_has_one_spelling", varint_has_one_spelling);
    g_test_add_func("/protocol/cursor/varint_returns_from_every_length",
                    varint_returns_from_every_length);
    g_test_add_func("/protocol/cursor/string_is_bounded", string_is_bounded);
    g_test_add_func("/protocol/cursor/bytes_are_borrowed_or_refused",
                    bytes_are_borrowed_or_refused);
    g_test_add_func("/protocol/checked/sums_do_not_wrap", sums_do_not_wrap);
    return g_test_run();
}
