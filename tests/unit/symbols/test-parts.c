/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of the process by themselves: names and ranges. */
#include <string.h>

#include "symbols/demangle.h"
#include "symbols/names.h"
#include "symbols/ranges.h"

typedef struct Mangled {
    const char *name;
    const char *text; /* NULL: not mangled */
} Mangled;

static const Mangled mangled[] = {
    {"_Z3fooi", "foo(int)"},
    {"_ZN5outer3BoxIiE3putEi", "outer::Box<int>::put(int)"},
    {"_ZNSt6vectorIiSaIiEE9push_backERKi",
     "std::vector<int, std::allocator<int> >::push_back(int const&)"},
    {"_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const"},
    {"_ZN12_GLOBAL__N_14deepEv", "(anonymous namespace)::deep()"},
    {"_Z3foov.cold", "foo() [clone .cold]"},
    {"_ZN5alloc5alloc8box_free17h0123456789abcdefE", "alloc::alloc::box_free"},
    {"_ZN4core3ptr13drop_in_place17h9e3779b97f4a7c15E.llvm.123", "core::ptr::drop_in_place"},
    {"_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa"
     "94f1d3aE",
     "<Test + 'static as foo::Bar<Test>>::bar"},
    {"_RNvC6_123foo3bar", "123foo::bar"},
    {"_RNvMs_C5shelfNtB4_5Shelf3put", "<shelf::Shelf>::put"},
    {"main", NULL},
    {"_Zebra", NULL},
    {"_Row", NULL},
    {"_R", NULL},
    {"_Z", NULL},
    {"", NULL},
};

static void names_as_people_write_them(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(mangled); i++) {
        g_autofree char *text = tt_demangle(mangled[i].name);

        g_assert_cmpstr(text, ==, mangled[i].text);
    }
}

/* Each parameter is X<the one before, the one before>: 2^30 characters, were it not cut. */
static void exponential_names_are_cut(void) {
    g_autoptr(GString) name = g_string_new("_Z1f1XIiiE");
    g_autofree char *text = NULL;
    gint64 began_us = g_get_monotonic_time();

    for (int i = 0; i < 30; i++) {
        char digit = (char)(i < 10 ? '0' + i : 'A' + i - 10);

        g_string_append_printf(name, "S_IS%c_S%c_E", digit, digit);
    }
    text = tt_demangle(name->str);
    g_assert_nonnull(text);
    g_assert_true(g_str_has_prefix(text, "f(X<int, int>, X<X<int, int>, X<int, int> >, X<X<X<int"));
    g_assert_cmpuint(strlen(text), >, 4096);
    g_assert_cmpuint(strlen(text), <, 10000);
    g_assert_cmpint(g_get_monotonic_time() - began_us, <, 5 * G_USEC_PER_SEC);
}

static void long_names_are_left(void) {
    g_autofree char *inside = g_strnfill(70000, 'a');
    g_autofree char *name = g_strdup_printf("_Z70000%s", inside);
    g_autofree char *text = NULL;
    g_autofree char *deep = g_strnfill(60000, 'P');
    g_autofree char *pointers = g_strdup_printf("_Z1f%si", deep);

    g_assert_null(tt_demangle(name));
    text = tt_demangle(pointers);
    if (text)
        g_assert_cmpuint(strlen(text), <, 10000);
}

/* Names cut anywhere and with any byte wrong: nothing but an end. */
static void damaged_names(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(mangled); i++) {
        gsize len = strlen(mangled[i].name);

        for (gsize j = 0; j < len; j++) {
            g_autofree char *cut = g_strndup(mangled[i].name, j);
            g_autofree char *wrong = g_strdup(mangled[i].name);

            g_free(tt_demangle(cut));
            wrong[j] = (char)g_test_rand_int_range(1, 128);
            g_free(tt_demangle(wrong));
        }
    }
}

static void names_are_made_once(void) {
    TtNames *names = tt_names_new();
    static const char symbol[] = "_Z3fooi", plain[] = "memcpy@@GLIBC_2.14";

    g_assert_cmpstr(tt_names_demangle(names, symbol), ==, "foo(int)");
    g_assert_true(tt_names_demangle(names, symbol) == tt_names_demangle(names, symbol));
    g_assert_null(tt_names_demangle(names, plain));
    g_assert_null(tt_names_demangle(names, plain));
    g_assert_cmpstr(tt_names_get_bare(names, plain), ==, "memcpy");
    tt_names_free(names);
}

/* Against a search that tries them all. */
static void innermost_range_is_found(void) {
    for (int round = 0; round < 50; round++) {
        TtRanges ranges;
        struct {
            guint64 start, end;
        } all[40];

        tt_ranges_init(&ranges);
        for (guint32 i = 0; i < G_N_ELEMENTS(all); i++) {
            all[i].start = 2 + (guint64)g_test_rand_int_range(0, 100);
            all[i].end = all[i].start + (guint64)g_test_rand_int_range(0, 30);
            tt_ranges_add(&ranges, all[i].start, all[i].end, i);
        }
        tt_ranges_sort(&ranges);
        for (guint64 addr = 0; addr < 140; addr++) {
            const TtRange *found = tt_ranges_find(&ranges, addr);
            int best = -1;

            for (int i = 0; i < (int)G_N_ELEMENTS(all); i++)
                if (addr >= all[i].start && addr < all[i].end &&
                    (best < 0 || all[i].start > all[best].start ||
                     (all[i].start == all[best].start && all[i].end <= all[best].end)))
                    best = i;
            g_assert_cmpint(found ? (int)found->value : -1, ==, best);
        }
        tt_ranges_clear(&ranges);
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parts/names-as-people-write-them", names_as_people_write_them);
    g_test_add_func("/parts/exponential-names-are-cut", exponential_names_are_cut);
    g_test_add_func("/parts/long-names-are-left", long_names_are_left);
    g_test_add_func("/parts/damaged-names", damaged_names);
    g_test_add_func("/parts/names-are-made-once", names_are_made_once);
    g_test_add_func("/parts/innermost-range-is-found", innermost_range_is_found);
    return g_test_run();
}
