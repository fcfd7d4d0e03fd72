/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of suppressions. What matches what is as LeakSanitizer's runtime has it (TemplateMatch
 * of sanitizer_common), but for a name in which the text before "$" comes twice: there it looks at
 * the first place alone. tests/truth/leaks.py asks LeakSanitizer itself. */
#include <gio/gio.h>
#include <string.h>

#include "report/suppress.h"

typedef struct Known {
    const char *pattern, *name;
    gboolean matches;
} Known;

static const Known known[] = {
    /* Anywhere in the name. */
    {"parse", "parse", TRUE},
    {"parse", "config_parse_line", TRUE},
    {"parse", "pars", FALSE},
    {"parse", "Parse", FALSE},
    {"aab", "aaab", TRUE},
    /* "^" and "$". */
    {"^parse", "parse_line", TRUE},
    {"^parse", "config_parse", FALSE},
    {"parse$", "config_parse", TRUE},
    {"parse$", "parse_line", FALSE},
    {"^parse$", "parse", TRUE},
    {"^parse$", "parses", FALSE},
    {"^parse$", "reparse", FALSE},
    {"ab$", "abab", TRUE},
    /* Not where they are no ends. */
    {"a^b", "a^b", TRUE},
    {"^^a", "^a", TRUE},
    {"^^a", "a", FALSE},
    /* "*". */
    {"a*z", "abcz", TRUE},
    {"a*z", "az", TRUE},
    {"a*z", "za", FALSE},
    {"^a*z$", "abzbz", TRUE},
    {"^a*z$", "abzb", FALSE},
    {"^*z$", "abcz", TRUE},
    {"^a*$", "abc", TRUE},
    {"a**z", "a_z", TRUE},
    {"*", "anything", TRUE},
    {"std::*::_M_create", "std::string::_M_create(unsigned long)", TRUE},
    {"/libfoo.so", "/usr/lib/libfoo.so.1", TRUE},
    /* No expressions, no marks of other kinds. */
    {"a?c", "abc", FALSE},
    {"a.c", "abc", FALSE},
    {"[a-z]", "b", FALSE},
    /* No name, no match. */
    {"a", "", FALSE},
    {"*", "", FALSE},
    {"^$", "", FALSE},
    {"^", "", FALSE},
    {"^$", "a", FALSE},
    /* "$" ends the pattern wherever it stands. */
    {"a$b", "a", TRUE},
    {"a$b", "a$b", FALSE},
};

static void patterns_match_as_leaksanitizer_has_them(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
        if (tt_suppression_matches(known[i].pattern, known[i].name) != known[i].matches)
            g_error("'%s' and '%s': %d", known[i].pattern, known[i].name, !known[i].matches);
}

/* Against every way to take "*". */
static gboolean matches_slowly(const char *pattern, const char *name) {
    if (*pattern == '\0')
        return TRUE;
    if (*pattern == '$')
        return *name == '\0';
    if (*pattern == '*')
        return matches_slowly(pattern + 1, name) || (*name && matches_slowly(pattern, name + 1));
    return *name == *pattern && matches_slowly(pattern + 1, name + 1);
}

static gboolean is_found_slowly(const char *pattern, const char *name) {
    if (*name == '\0')
        return FALSE;
    if (*pattern == '^')
        return matches_slowly(pattern + 1, name);
    for (; *name; name++)
        if (matches_slowly(pattern, name))
            return TRUE;
    return matches_slowly(pattern, name);
}

static void draw(char *text, const char *letters, guint len) {
    for (guint i = 0; i < len; i++)
        text[i] = letters[g_test_rand_int_range(0, (gint32)strlen(letters))];
    text[len] = '\0';
}

static void drawn_patterns_match_as_by_trying_all(void) {
    for (guint i = 0; i < 200000; i++) {
        char pattern[8], name[10];

        draw(pattern, "aab*^$", (guint)g_test_rand_int_range(1, sizeof pattern));
        draw(name, "aab", (guint)g_test_rand_int_range(0, sizeof name));
        if (tt_suppression_matches(pattern, name) != is_found_slowly(pattern, name))
            g_error("'%s' and '%s': %d", pattern, name, !is_found_slowly(pattern, name));
    }
}

/* A pattern that would take forever if every star were tried again. */
static void hostile_pattern_ends(void) {
    g_autoptr(GString) pattern = g_string_new("^");
    g_autofree char *name = g_strnfill(4096, 'a');

    for (guint i = 0; i < 1000; i++)
        g_string_append(pattern, "*a");
    g_string_append(pattern, "*b$");
    g_assert_false(tt_suppression_matches(pattern->str, name));
}

static void file_is_read_line_by_line(void) {
    g_autoptr(GPtrArray) all = tt_suppressions_parse(
        "# known\n\n  leak:one \r\nleak:two:three\n\t# four\nleak:# five", NULL);
    static const char *const want[] = {"one", "two:three", "# five"};

    g_assert_nonnull(all);
    g_assert_cmpuint(all->len, ==, G_N_ELEMENTS(want));
    for (guint i = 0; i < all->len; i++)
        g_assert_cmpstr(((TtSuppression *)g_ptr_array_index(all, i))->pattern, ==, want[i]);
}

static void wrong_line_is_named(void) {
    static const char *const wrong[] = {"race:x", "leak", "leak:", "leak:  ", "one", "LEAK:one"};

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *text = g_strconcat("leak:a\n# b\n", wrong[i], "\nleak:c\n", NULL);
        g_autoptr(GError) error = NULL;

        g_assert_null(tt_suppressions_parse(text, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA);
        g_assert_nonnull(strstr(error->message, "Line 3 "));
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/suppress/patterns_match_as_leaksanitizer_has_them",
                    patterns_match_as_leaksanitizer_has_them);
    g_test_add_func("/suppress/drawn_patterns_match_as_by_trying_all",
                    drawn_patterns_match_as_by_trying_all);
    g_test_add_func("/suppress/hostile_pattern_ends", hostile_pattern_ends);
    g_test_add_func("/suppress/file_is_read_line_by_line", file_is_read_line_by_line);
    g_test_add_func("/suppress/wrong_line_is_named", wrong_line_is_named);
    return g_test_run();
}
