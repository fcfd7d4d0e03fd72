/* SPDX-License-Identifier: Apache-2.0 */
/* What a person writes, and which session is meant. */
#include <string.h>

#include "control/error.h"
#include "control/target.h"
#include "control/text.h"
#include "fake-intake.h"

/* Outcomes that are no session. */
#define NONE 0
#define MANY 1

typedef struct Case {
    const char *word;
    guint8 tag; /* of the session meant */
} Case;

static void check(GPtrArray *cards, const Case *cases, gsize count) {
    for (gsize i = 0; i < count; i++) {
        g_autoptr(GError) error = NULL;
        const TtSessionCard *card = tt_target_find(cards, cases[i].word, &error);

        g_test_message("case %zu -> %02x %s", i, card ? card->id[0] : 0,
                       error ? error->message : "");
        if (cases[i].tag == NONE)
            g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_NO_SUCH_TARGET);
        else if (cases[i].tag == MANY)
            g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_AMBIGUOUS);
        else
            g_assert_no_error(error);
        if (error) {
            g_assert_null(card);
            g_assert_true(g_utf8_validate(error->message, -1, NULL));
        } else {
            g_assert_cmphex(card->id[0], ==, cases[i].tag);
        }
    }
}

static void test_words(void) {
    g_autofree char *long_word = g_strnfill(100000, 'a');
    g_autofree char *long_number = g_strnfill(5000, '9');
    const Case cases[] = {
        {"100", 0xa1},                              /* a pid */
        {"200", 0xb3},                              /* the newest that has or had it */
        {"0200", 0xb3},                             /* the same number */
        {"a1a1", 0xa1},                             /* a prefix */
        {"A1A1a1", 0xa1},                           /* in any case */
        {"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", 0xa1}, /* a whole id */
        {"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a", NONE},
        {"a1a", NONE}, /* too short for a prefix */
        {"server", 0xa1},
        {"/usr/bin/server", 0xa1},
        {"/bin/server", NONE},
        {"worker", MANY},
        {"reused", 0xb3}, /* one process, several images */
        {"4242", 0xc4},   /* a program of digits, no such pid */
        {"300", 0xc4},    /* pid of the program of digits */
        {"1e20", NONE},
        {"99999999999999999999", NONE},
        {"2147483648", NONE},
        {"4294967396", NONE}, /* 2^32 + 100 */
        {"-1", NONE},
        {"+100", NONE},
        {" 100", NONE},
        {"0", NONE},
        {"0x64", NONE},
        {"w\xffrd", 0xd1},  /* raw bytes */
        {"w\\xffrd", 0xd1}, /* as the list shows it */
        {"\xfe\xfe", NONE},
        {"../server", NONE},
        {"", MANY},
        {NULL, MANY},
        {long_word, NONE},
        {long_number, NONE},
        {"dead", MANY}, /* a program's name and a prefix of another's id */
    };
    g_autoptr(GPtrArray) cards = NULL;

    fake_clear();
    fake_add_session(0xa1, 100, "/usr/bin/server", 1);
    fake_add_session(0xb1, 200, "/opt/worker", 2);
    fake_add_session(0xb2, 200, "/opt/reused", 3);
    fake_add_session(0xb3, 200, "/opt/reused", 4);
    fake_add_session(0xc1, 250, "/opt/worker", 5);
    fake_add_session(0xc4, 300, "/opt/4242", 6);
    fake_add_session(0xd1, 400, "/opt/w\xffrd", 7);
    fake_add_session(0xd2, 401, "/opt/dead", 8);
    fake_add_session(0xd3, 402, NULL, 9);
    cards = tt_intake_list(NULL);
    memcpy(((TtSessionCard *)g_ptr_array_index(cards, 8))->id, "\xde\xad", 2);
    check(cards, cases, G_N_ELEMENTS(cases));
}

static void test_nothing_and_one(void) {
    const Case none[] = {{"", NONE}, {NULL, NONE}, {"5", NONE}, {"name", NONE}};
    const Case one[] = {{"", 0xa1}, {NULL, 0xa1}, {"6", NONE}};
    g_autoptr(GPtrArray) cards = NULL;

    fake_clear();
    cards = tt_intake_list(NULL);
    check(cards, none, G_N_ELEMENTS(none));
    g_ptr_array_unref(cards);
    fake_add_session(0xa1, 5, "/bin/x", 1);
    cards = tt_intake_list(NULL);
    check(cards, one, G_N_ELEMENTS(one));
}

static void test_list_is_bounded(void) {
    g_autoptr(GPtrArray) cards = NULL;
    g_autoptr(GError) error = NULL;

    fake_clear();
    for (guint i = 0; i < 5000; i++)
        fake_add_session((guint8)i, (gint)i + 1, "/bin/same", i);
    cards = tt_intake_list(NULL);
    g_assert_null(tt_target_find(cards, "same", &error));
    g_assert_error(error, TT_CONTROL_ERROR, TT_CONTROL_ERROR_AMBIGUOUS);
    g_assert_cmpuint(strlen(error->message), <, 4096);
    g_assert_nonnull(strstr(error->message, "pid 5000"));
    g_assert_nonnull(strstr(error->message, "4980 older"));
}

static void test_text(void) {
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {NULL, ""},
        {"", ""},
        {"plain", "plain"},
        {"\xc3\xa4", "\xc3\xa4"},
        {"a\xff", "a\\xff"},
        {"\xff\xfe"
         "b",
         "\\xff\\xfeb"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"cut\xe2\x82", "cut\\xe2\\x82"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = tt_text_make_valid(cases[i].bytes);

        g_assert_cmpstr(text, ==, cases[i].text);
    }
    g_autofree char *none = tt_text_get_name(NULL);
    g_autofree char *folder = tt_text_get_name("/usr/bin/");
    g_assert_cmpstr(none, ==, "?");
    g_assert_cmpstr(folder, ==, "?");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/control/target/words", test_words);
    g_test_add_func("/control/target/nothing_and_one", test_nothing_and_one);
    g_test_add_func("/control/target/list_is_bounded", test_list_is_bounded);
    g_test_add_func("/control/text/foreign_bytes", test_text);
    return g_test_run();
}
