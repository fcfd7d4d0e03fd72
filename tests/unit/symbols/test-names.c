/* SPDX-License-Identifier: Apache-2.0 */
/* Names, lines and inlined frames, against a program's own log and against addr2line. */
#include <string.h>

#include "truth.h"

#define PLACES 4 /* in the log of the small program */

typedef struct Variant {
    const char *name;
    const char *compiler;
    const char *flags;
} Variant;

static const Variant variants[] = {
    {"gcc-dwarf5", "gcc", "-O2 -g -gdwarf-5"},
    {"gcc-dwarf4", "gcc", "-O2 -g -gdwarf-4"},
    {"gcc-dwarf3", "gcc", "-O2 -gdwarf-3 -gstrict-dwarf"},
    {"gcc-compressed", "gcc", "-O2 -g -gz"},
    {"gcc-split", "gcc", "-O2 -g -gsplit-dwarf"},
    {"gcc-split-dwarf4", "gcc", "-O2 -g -gdwarf-4 -gsplit-dwarf"},
    {"gcc-lto", "gcc", "-O2 -g -flto=1"},
    {"gcc-static", "gcc", "-O2 -g -static-pie"},
    {"clang-dwarf5", "clang", "-O2 -g -gdwarf-5"},
    {"clang-dwarf4", "clang", "-O2 -g -gdwarf-4"},
    {"clang-split", "clang", "-O2 -g -gdwarf-5 -gsplit-dwarf"},
};

static void match_program_log(gconstpointer data) {
    const Variant *variant = data;
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *program = NULL;
    TtSymbolModule module = {0};

    if (!truth_has(variant->compiler))
        return;
    program = truth_compile_small(variant->compiler, variant->flags, variant->name);
    module.path = program;
    g_assert_cmpuint(truth_check_log(symbols, program, &module), ==, PLACES);
    g_assert_cmpint(tt_symbols_get_lack(symbols, &module), ==, TT_SYMBOLS_LACK_NONE);
}

/* What addr2line says of every @step-th address of the program's functions, "function\nfile:line\n"
 * a frame; and the addresses. */
static char **ask_addr2line(const char *program, guint step, GArray *ret_addrs) {
    g_autofree char *table = truth_run("nm -S --defined-only '%s' | grep -i ' t '", program);
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);
    g_autoptr(GString) list = g_string_new(NULL);
    g_autofree char *list_path = truth_path("addresses");
    g_autofree char *output = NULL;

    for (char **line = lines; *line; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", -1);

        if (g_strv_length(words) < 4) /* without a size */
            continue;
        guint64 start = g_ascii_strtoull(words[0], NULL, 16);
        guint64 end = start + g_ascii_strtoull(words[1], NULL, 16);

        for (guint64 addr = start; addr < end; addr += step) {
            g_array_append_val(ret_addrs, addr);
            g_string_append_printf(list, "0x%" G_GINT64_MODIFIER "x\n", addr);
        }
    }
    g_assert_true(g_file_set_contents(list_path, list->str, -1, NULL));
    output = truth_run("addr2line -a -i -f -C -e '%s' < addresses | "
                       "sed 's/ (discriminator [0-9]*)$//; s/:?$/:0/'",
                       program);
    g_assert_nonnull(output);
    return g_strsplit(output + strlen("0x"), "\n0x", -1);
}

/* addr2line leaves namespaces out where the debug information has no linkage name, and calls a
 * nameless inlined frame by its caller; its places are right. */
static gboolean is_same_name(const char *ours, const char *theirs, gboolean is_exact) {
    if (g_strcmp0(ours, theirs) == 0)
        return TRUE;
    return !is_exact && ours && strchr(ours, '(') == NULL;
}

static void check_against_addr2line(const char *program, guint step, gboolean is_exact) {
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autoptr(GArray) addrs = g_array_new(FALSE, FALSE, sizeof(guint64));
    g_auto(GStrv) theirs = ask_addr2line(program, step, addrs);
    g_autofree const TtSymbolAnswer **answers = g_new(const TtSymbolAnswer *, addrs->len);
    TtSymbolModule module = {.path = program};
    g_autoptr(GError) error = NULL;
    guint line_count = 0, inlined_count = 0;

    g_assert_cmpuint(addrs->len, >, 50);
    g_assert_cmpuint(g_strv_length(theirs), ==, addrs->len);
    g_assert_true(tt_symbols_resolve(symbols, &module, (const guint64 *)(void *)addrs->data,
                                     addrs->len, answers, &error));
    for (guint i = 0; i < addrs->len; i++) {
        g_auto(GStrv) words = g_strsplit(theirs[i], "\n", -1);

        if (g_str_has_prefix(words[2], "??") || g_str_has_suffix(words[2], ":0"))
            continue; /* not compiled here: start-up code */
        g_test_message("%s", theirs[i]);
        for (guint j = 0; j < answers[i]->frame_count; j++) {
            const TtSymbolFrame *frame = &answers[i]->frames[j];
            g_autofree char *place = g_strdup_printf("%s:%u", frame->file, frame->line);

            g_assert_nonnull(words[1 + 2 * j]);
            g_assert_true(is_same_name(frame->function, words[1 + 2 * j], is_exact));
            g_assert_cmpstr(place, ==, words[2 + 2 * j]);
            g_assert_cmpint(frame->is_inlined, ==, j + 1 < answers[i]->frame_count);
            line_count++;
            inlined_count += frame->is_inlined ? 1 : 0;
        }
        g_assert_true(words[1 + 2 * answers[i]->frame_count] == NULL ||
                      *words[1 + 2 * answers[i]->frame_count] == 0);
    }
    g_assert_cmpuint(line_count, >, 50);
    g_assert_cmpuint(inlined_count, >, 10);
}

static void c_matches_addr2line(void) {
    g_autofree char *program = truth_compile_small("gcc", "-O2 -g", "c-addr2line");

    check_against_addr2line(program, 1, TRUE);
}

static void cxx_matches_addr2line(void) {
    static const char source[] =
        "#include <map>\n#include <string>\n#include <vector>\n"
        "namespace outer {\n"
        "template <class T> struct Box {\n"
        "    std::map<T, std::string> map;\n"
        "    void put(T key) { map[key] = std::to_string(key) + \"x\"; }\n"
        "};\n"
        "struct Base { virtual ~Base() {} virtual int get(const std::vector<int> &v) const = 0; "
        "};\n"
        "struct Thing : Base { int get(const std::vector<int> &v) const override\n"
        "    { return (int)v.size(); } };\n"
        "}\n"
        "int main(int argc, char **argv) {\n"
        "    outer::Box<int> box;\n"
        "    for (int i = 0; i < argc + 3; i++)\n        box.put(i);\n"
        "    outer::Base *base = new outer::Thing;\n"
        "    int n = base->get({1, 2, argc});\n    delete base;\n"
        "    return n == (int)box.map.size();\n"
        "}\n";
    g_autofree char *program = NULL;

    if (!truth_has("g++"))
        return;
    program = truth_compile("g++", "-O2 -g", "templates.cc", source, "cxx-addr2line");
    check_against_addr2line(program, 3, FALSE);
}

static void rust_name_and_line(void) {
    static const char source[] = "use std::collections::HashMap;\n"
                                 "struct Shelf { map: HashMap<u32, String> }\n"
                                 "impl Shelf { fn put(&mut self, key: u32) { self.map.insert(key, "
                                 "format!(\"{}\", key)); } }\n"
                                 "fn main() {\n"
                                 "    let mut shelf = Shelf { map: HashMap::new() };\n"
                                 "    for i in 0..10 { shelf.put(i); }\n"
                                 "    println!(\"{}\", shelf.map.len());\n"
                                 "}\n";
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *program = NULL;
    g_autofree char *table = NULL;
    TtSymbolModule module = {0};
    const TtSymbolAnswer *answer;

    if (!truth_has("rustc"))
        return;
    program = truth_compile("rustc", "-g -C opt-level=0", "shelf.rs", source, "shelf");
    module.path = program;
    table = truth_run("nm '%s' | grep -E ' _ZN5shelf5Shelf3put17h|_RNv.*5Shelf3put'", program);
    g_assert_nonnull(table);
    answer = truth_resolve(symbols, &module, g_ascii_strtoull(table, NULL, 16) + 8);
    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_true(g_strcmp0(answer->frames[0].function, "shelf::Shelf::put") == 0 ||
                  g_strcmp0(answer->frames[0].function, "<shelf::Shelf>::put") == 0);
    g_assert_cmpuint(answer->frames[0].line, ==, 3);
    g_assert_true(g_str_has_suffix(answer->frames[0].file, "shelf.rs"));
}

/* gcc has no linkage name for what is not visible outside its file. */
static void cxx_inlined_in_anonymous_namespace_is_qualified(void) {
    static const char source[] =
        "namespace deep { namespace { struct Hidden {\n"
        "  static inline __attribute__((always_inline)) int f(volatile int *p)\n"
        "  { return *p + __builtin_abs(*p); } }; } }\n"
        "volatile int v;\n"
        "int main() { return deep::Hidden::f(&v); }\n";
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *program = NULL;
    TtSymbolModule module = {0};
    const TtSymbolAnswer *answer;

    if (!truth_has("g++"))
        return;
    program = truth_compile("g++", "-O2 -g", "hidden.cc", source, "hidden");
    module.path = program;
    answer = truth_resolve(symbols, &module, truth_find_symbol(program, "main") + 1);
    g_assert_cmpuint(answer->frame_count, ==, 2);
    g_assert_cmpstr(answer->frames[0].function, ==, "deep::(anonymous namespace)::Hidden::f");
    g_assert_cmpuint(answer->frames[0].line, ==, 3);
    g_assert_cmpstr(answer->frames[1].function, ==, "main");
    g_assert_cmpuint(answer->frames[1].line, ==, 5);
}

static void nested_function_of_gnu_c_is_found(void) {
    static const char source[] = "volatile int v;\n"
                                 "int main(void) {\n"
                                 "  int k = v;\n"
                                 "  __attribute__((noinline)) int nested(int x) { return x + k; }\n"
                                 "  return nested(v) + k;\n"
                                 "}\n";
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *program = truth_compile("gcc", "-O1 -g", "nested.c", source, "nested");
    g_autofree char *table = truth_run("nm '%s' | grep ' nested\\.'", program);
    TtSymbolModule module = {.path = program};
    const TtSymbolAnswer *answer;

    g_assert_nonnull(table);
    answer = truth_resolve(symbols, &module, g_ascii_strtoull(table, NULL, 16));
    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "nested");
    g_assert_cmpuint(answer->frames[0].line, ==, 4);
}

static void address_past_a_symbols_end_has_no_name(void) {
    static const char source[] = ".text\n"
                                 ".globl sized\n.type sized,@function\nsized: nop\nnop\n"
                                 ".size sized,.-sized\n"
                                 ".fill 32,1,0x90\n"
                                 ".globl bare\nbare: nop\nnop\nret\n"
                                 ".globl main\n.type main,@function\nmain: ret\n.size main,.-main\n"
                                 ".section .note.GNU-stack,\"\",@progbits\n";
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *program = truth_compile("gcc", "", "gap.s", source, "gap");
    TtSymbolModule module = {.path = program};
    guint64 sized = truth_find_symbol(program, "sized");
    guint64 bare = truth_find_symbol(program, "bare");
    const TtSymbolAnswer *answer = truth_resolve(symbols, &module, sized + 1);

    g_assert_cmpint(tt_symbols_get_lack(symbols, &module), ==, TT_SYMBOLS_LACK_LINES);
    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "sized");
    g_assert_null(answer->frames[0].file);
    g_assert_cmpuint(truth_resolve(symbols, &module, sized + 2)->frame_count, ==, 0);
    g_assert_cmpuint(truth_resolve(symbols, &module, bare - 1)->frame_count, ==, 0);
    /* What has no size reaches to the next symbol. */
    answer = truth_resolve(symbols, &module, bare + 2);
    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "bare");
}

static void plainest_of_several_names(void) {
    static const char source[] =
        "int __libc_thing(void) { return 3; }\n"
        "int thing(void) __attribute__((alias(\"__libc_thing\")));\n"
        "int _thing(void) __attribute__((weak, alias(\"__libc_thing\")));\n";
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *library =
        truth_compile("gcc", "-O2 -shared -fPIC", "alias.c", source, "alias.so");
    TtSymbolModule module = {.path = library};
    const TtSymbolAnswer *answer =
        truth_resolve(symbols, &module, truth_find_symbol(library, "thing"));

    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "thing");
}

static void executable_at_fixed_address(void) {
    static const char source[] = "int answer(void) { return 42; }\nint main(void) { return 0; }\n";
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *program = truth_compile("gcc", "-O1 -g -no-pie", "fixed.c", source, "fixed");
    TtSymbolModule module = {.path = program};
    guint64 addr = truth_find_symbol(program, "answer");
    const TtSymbolAnswer *answer = truth_resolve(symbols, &module, addr);

    g_assert_cmpuint(addr, >=, 0x400000);
    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "answer");
    g_assert_cmpuint(answer->frames[0].line, ==, 1);
}

/* The file of a library whose first segment is not at 0. */
static void library_linked_at_an_address(void) {
    static const char source[] = "int answer(void) { return 42; }\n";
    g_autoptr(TtSymbols) symbols = tt_symbols_new();
    g_autofree char *library = truth_compile(
        "gcc", "-O1 -g -shared -fPIC -Wl,-Ttext-segment=0x3000000", "based.c", source, "based.so");
    TtSymbolModule module = {.path = library};
    guint64 addr = truth_find_symbol(library, "answer");
    const TtSymbolAnswer *answer = truth_resolve(symbols, &module, addr);

    g_assert_cmpuint(addr, >=, 0x3000000);
    g_assert_cmpuint(answer->frame_count, ==, 1);
    g_assert_cmpstr(answer->frames[0].function, ==, "answer");
    g_assert_cmpuint(answer->frames[0].line, ==, 1);
}

int main(int argc, char **argv) {
    int r;

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(variants); i++) {
        g_autofree char *path = g_strdup_printf("/symbols/match-program-log/%s", variants[i].name);

        g_test_add_data_func(path, &variants[i], match_program_log);
    }
    g_test_add_func("/symbols/c-matches-addr2line", c_matches_addr2line);
    g_test_add_func("/symbols/cxx-matches-addr2line", cxx_matches_addr2line);
    g_test_add_func("/symbols/rust-name-and-line", rust_name_and_line);
    g_test_add_func("/symbols/cxx-inlined-in-anonymous-namespace-is-qualified",
                    cxx_inlined_in_anonymous_namespace_is_qualified);
    g_test_add_func("/symbols/nested-function-of-gnu-c-is-found",
                    nested_function_of_gnu_c_is_found);
    g_test_add_func("/symbols/address-past-a-symbols-end-has-no-name",
                    address_past_a_symbols_end_has_no_name);
    g_test_add_func("/symbols/plainest-of-several-names", plainest_of_several_names);
    g_test_add_func("/symbols/executable-at-fixed-address", executable_at_fixed_address);
    g_test_add_func("/symbols/library-linked-at-an-address", library_linked_at_an_address);
    r = g_test_run();
    truth_clear();
    return r;
}
